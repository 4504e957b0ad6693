"""Predicted models against the truth: the figures that `score` prints and the report shows."""

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..errors import UserError
from ..metrics import mae, mape, mape_by_depth, rmse, ssim
from ..survey import Survey

BANDS = 8
WORST = 5  # samples named
_SSIM_CELLS = 7  # its window


def summarise(triples: Iterable[tuple[str, np.ndarray, np.ndarray]], survey: Survey) -> dict[str, Any]:
    """Scores of (sample id, truth, prediction) with models (x, depth) in km/s, taken one by one; fit for JSON.

    ``samples``: how many. ``mape`` (a fraction, the challenge's score), ``mae`` and ``rmse`` (km/s) and ``ssim`` (None
    where a model is smaller than its window) over all cells of all samples; ``per_sample``: id to MAPE;
    ``mape_at_depth``: one value a row of cells; ``bands``: ``from_m``, ``to_m``, ``mape`` of ranges of equal height.
    """
    per_sample: dict[str, float] = {}
    sums, at_depth = np.zeros(3), np.zeros(survey.nz)
    for sample_id, truth, prediction in triples:
        truth, prediction = np.asarray(truth, np.float64), np.asarray(prediction, np.float64)
        per_sample[sample_id] = float(mape(prediction, truth))
        at_depth += mape_by_depth(prediction, truth)
        errors = mae(prediction, truth), rmse(prediction, truth) ** 2
        sums += np.array([*errors, _ssim(prediction, truth, survey)])
    if not per_sample:
        raise UserError("no samples to score")
    count = len(per_sample)
    at_depth /= count
    mean_absolute, mean_square, similarity = sums / count
    return {
        "samples": count,
        "mape": float(np.mean(list(per_sample.values()))),
        "mae": float(mean_absolute),
        "rmse": float(np.sqrt(mean_square)),
        "ssim": None if np.isnan(similarity) else float(similarity),
        "per_sample": per_sample,
        "bands": _bands(at_depth, survey.spacing_m),
        "mape_at_depth": at_depth.tolist(),
    }


def text(scores: dict[str, Any]) -> str:
    """The scores as lines for a terminal."""
    ranked = sorted(scores["per_sample"].items(), key=lambda item: -item[1])[:WORST]
    similarity = "-" if scores["ssim"] is None else f"{scores['ssim']:.4f}"
    lines = [
        f"samples  {scores['samples']}",
        f"MAPE     {scores['mape']:.5f}  ({100 * scores['mape']:.2f} %)",
        f"MAE      {scores['mae']:.4f} km/s",
        f"RMSE     {scores['rmse']:.4f} km/s",
        f"SSIM     {similarity}",
        "worst samples",
        *(f"  {sample_id:<24} {100 * value:6.2f} %" for sample_id, value in ranked),
        "MAPE by depth",
        *(f"  {b['from_m']:6.0f} to {b['to_m']:6.0f} m {100 * b['mape']:6.2f} %" for b in scores["bands"]),
    ]
    return "\n".join(lines)


def table(systems: Mapping[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    """Rows of text, the heading first: one of each named system's scores, as ``summarise`` gives them."""
    rows = [("system", "MAPE", "MAE (km/s)", "RMSE (km/s)", "SSIM")]
    for name, scores in systems.items():
        ssim_text = "-" if scores["ssim"] is None else f"{scores['ssim']:.4f}"
        rows.append((name, f"{100 * scores['mape']:.2f} %", f"{scores['mae']:.4f}", f"{scores['rmse']:.4f}", ssim_text))
    return rows


def verdict(systems: Mapping[str, dict[str, Any]]) -> list[str]:
    """A sentence on the first system against each of the others, the yardsticks; it does not spare the first."""
    (name, own), *others = ((name, scores["mape"]) for name, scores in systems.items())
    sentences = []
    for other, yardstick in others:
        relation = (
            f"{own / yardstick:.2f} of the {other}'s {100 * yardstick:.2f} %" if yardstick else f"above {other}'s 0"
        )
        if own < yardstick:
            sentences.append(f"The {name}'s MAPE, {100 * own:.2f} %, is {relation}: better.")
        else:
            sentences.append(f"The {name} does not beat the {other}: its MAPE, {100 * own:.2f} %, is {relation}.")
    return sentences


def _ssim(prediction: np.ndarray, truth: np.ndarray, survey: Survey) -> float:
    if min(truth.shape) < _SSIM_CELLS:
        return float("nan")
    return ssim(prediction, truth, survey.v_min_km_s, survey.v_max_km_s)


def _bands(at_depth: np.ndarray, spacing_m: float) -> list[dict[str, float]]:
    edges = np.linspace(0, len(at_depth), min(BANDS, len(at_depth)) + 1).round().astype(int)
    return [
        {"from_m": float(a * spacing_m), "to_m": float(b * spacing_m), "mape": float(at_depth[a:b].mean())}
        for a, b in itertools.pairwise(edges)
    ]
