"""What a report says of intervals and of refining, as words and rows of tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

INTERVALS_HEADING = ("intervals", "cells within", "mean width (km/s)", "interval score (km/s)")
REFINED_HEADING = (
    "sample", "MAPE predicted", "refined", "misfit before", "after", "kept of the correction", "s",
    "why it came back as it was",
)  # fmt: skip


def interval_rows(systems: Mapping[str, dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """What each system's intervals held of all cells."""
    for name, scores in systems.items():
        for found in scores.get("intervals", ()):
            what = f"{name}, {100 * found['level']:g} %"
            yield what, _within(found), f"{found['width']:.3f}", f"{found['score']:.3f}"


def depth_rows(intervals: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The heading, and what one system's intervals of each level held by depth."""
    heading = "depth", *(f"{100 * found['level']:g} %" for found in intervals)
    bands = zip(*(found["bands"] for found in intervals), strict=True)
    return heading, [(f"{each[0]['from_m']:.0f} to {each[0]['to_m']:.0f} m", *map(_within, each)) for each in bands]


def refined_words(told: Mapping[str, Mapping[str, Any]], systems: Mapping[str, dict[str, Any]]) -> str:
    """What refining did, on average, in a sentence or two."""
    kept = [row for row in told.values() if row["scale"] > 0]
    words = f"{len(kept)} of {len(told)} samples were refined"
    if kept:
        first, last = (np.mean([row["misfit"][when] for row in kept]) for when in ("start", "end"))
        words += f"; the shot that was held out was missed by {first:.3f} of its whitened data before, {last:.3f} after"
    if before_after := list(_errors(told, systems).values()):
        before, after = np.array(before_after).T
        words += (
            f". MAPE {100 * before.mean():.2f} % became {100 * after.mean():.2f}; it fell in {(after < before).sum()} "
            f"samples and rose in {(after > before).sum()}, at most to {(after / before).max():.2f} of what it was"
        )
    return words + "."


def refined_rows(
    told: Mapping[str, Mapping[str, Any]], systems: Mapping[str, dict[str, Any]]
) -> Iterator[tuple[str, ...]]:
    """What refining did to each sample, in the order of their ids."""
    errors = _errors(told, systems)
    for name, row in sorted(told.items()):
        shown = [f"{100 * value:.2f} %" for value in errors[name]] if name in errors else ["-", "-"]
        misfits = [_misfit(row["misfit"][when]) for when in ("start", "end")]
        yield name, *shown, *misfits, f"{100 * row['scale']:.0f} %", f"{row['seconds']:.0f}", row["reason"]


def extremes(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, str]:
    """The sample that refining helped best, and the one that it helped least or spoilt, by the share of its error."""
    order = sorted(after, key=lambda name: after[name] / before[name])
    return {"best": order[0]} | ({"worst": order[-1]} if len(order) > 1 else {})


def _errors(told: Mapping[str, Any], systems: Mapping[str, dict[str, Any]]) -> dict[str, tuple[float, float]]:
    """MAPE before and after of the samples of which it is known."""
    if not {"ensemble", "refined"} <= systems.keys():
        return {}
    before, after = (systems[name]["per_sample"] for name in ("ensemble", "refined"))
    return {name: (before[name], after[name]) for name in told if name in before and name in after}


def _misfit(found: float | None) -> str:
    return "-" if found is None else f"{found:.3f}"  # None where it was not finite


def _within(found: Mapping[str, Any]) -> str:
    error = "" if found.get("error") is None else f" ± {100 * found['error']:.1f}"
    return f"{100 * found['coverage']:.1f}{error} %"
