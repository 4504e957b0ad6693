"""Predicted models against the truth: the figures that `score` prints and the report shows."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import scipy

from ..errors import UserError
from ..metrics import mae, mape, mape_by_depth, rmse, ssim
from ..survey import Survey

BANDS = 8
WORST = 5  # samples named
_SSIM_CELLS = 7  # its window
_SOME = 5  # cells in x and in depth from one that spread and error are compared in to the next


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


def compare_spread(truth: np.ndarray, prediction: np.ndarray, spread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What ``spread_against_error`` needs of one sample, each (x, depth) km/s: spread and absolute error of some cells,
    (2, cell), and the means of spread, error and its square.
    """
    both = np.stack([spread, np.abs(prediction - truth)])
    return both[:, ::_SOME, ::_SOME].reshape(2, -1), np.array([*both.mean((1, 2)), np.mean(both[1] ** 2)])


def spread_against_error(compared: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, float | None]:
    """How well the members' spread tells where the average errs, of samples that ``compare_spread`` looked at.

    Spearman's rank correlation of spread and absolute error: ``cells`` over cells (some of each sample), ``samples``
    over the samples' means; None where all spreads are equal. ``mean`` of the spread and ``rms_error``, km/s: the
    second is about the first's size where members differ as they err.
    """
    each = np.array([means for _, means in compared])
    return {
        "cells": _rank_correlation(*np.concatenate([cells for cells, _ in compared], axis=1)),
        "samples": _rank_correlation(each[:, 0], each[:, 1]),
        "mean": float(each[:, 0].mean()),
        "rms_error": float(np.sqrt(each[:, 2].mean())),
    }


def misfit_against_error(misfits: Mapping[str, float], errors: Mapping[str, float]) -> dict[str, float | None]:
    """How well the misfit of predicted gathers tells which samples' models are wrong: its mean, and Spearman's rank
    correlation with the samples' MAPE (None where all are equal).
    """
    both = np.array([(misfits[name], error) for name, error in errors.items() if name in misfits]).reshape(-1, 2)
    mean = float(both[:, 0].mean()) if len(both) else None
    return {"mean": mean, "samples": _rank_correlation(both[:, 0], both[:, 1])}


def interval_scores(
    triples: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], level: float, survey: Survey
) -> dict[str, Any]:
    """How often (truth, lower, upper) models (x, depth) in km/s hold what they say; fit for JSON.

    ``coverage`` is the share of the cells within, ``error`` its standard error over samples (None of one), ``bands``
    the same by depth; ``width`` the mean of upper minus lower and ``score`` the mean interval score, km/s, lower is
    better: Gneiting and Raftery 2007, doi:10.1198/016214506000001437, eq. 43.
    """
    inside, widths, penalties = [], [], []
    for truth, lower, upper in triples:
        inside.append(((truth >= lower) & (truth <= upper)).mean(0))
        widths.append(float((upper - lower).mean()))
        outside = np.maximum(lower - truth, 0) + np.maximum(truth - upper, 0)
        penalties.append(float(2 / (1 - level) * outside.mean()))
    each = np.stack(inside)
    return {
        "level": level,
        **_covered(each),
        "width": float(np.mean(widths)),
        "score": float(np.mean(widths) + np.mean(penalties)),
        "bands": [
            {"from_m": float(a * survey.spacing_m), "to_m": float(b * survey.spacing_m), **_covered(each[:, a:b])}
            for a, b in _edges(each.shape[1])
        ],
    }


def interval_text(levels: Sequence[Mapping[str, Any]]) -> str:
    """``interval_scores`` of several levels as lines for a terminal."""
    lines = [
        f"intervals of {100 * found['level']:g} %: {_share(found)} of the cells lie within; "
        f"mean width {found['width']:.3f} km/s, interval score {found['score']:.3f} km/s"
        for found in levels
    ]
    names = ", ".join(f"{100 * found['level']:g}" for found in levels)
    lines.append(f"within intervals of {names} % by depth, +- over samples")
    for bands in zip(*(found["bands"] for found in levels), strict=True):
        shares = "   ".join(f"{_share(band):>14}" for band in bands)
        lines.append(f"  {bands[0]['from_m']:6.0f} to {bands[0]['to_m']:6.0f} m {shares}")
    return "\n".join(lines)


def _share(covered: Mapping[str, Any]) -> str:
    error = "" if covered["error"] is None else f" +- {100 * covered['error']:.1f}"
    return f"{100 * covered['coverage']:.1f}{error} %"


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
        *([f"spread   {words}"] if (words := spread_words(scores.get("spread"))) else []),
        *([f"misfit   {words}"] if (words := misfit_words(scores.get("misfit"))) else []),
        "worst samples",
        *(f"  {sample_id:<24} {100 * value:6.2f} %" for sample_id, value in ranked),
        "MAPE by depth",
        *(f"  {b['from_m']:6.0f} to {b['to_m']:6.0f} m {100 * b['mape']:6.2f} %" for b in scores["bands"]),
    ]
    return "\n".join(lines)


def spread_words(spread: Mapping[str, float | None] | None) -> str:
    """What ``spread_against_error`` found, in words; nothing where members do not differ."""
    if spread is None or spread["cells"] is None:
        return ""
    correlations = [f"{spread[name]:.2f} over {name}" for name in ("cells", "samples") if spread[name] is not None]
    size = f"{spread['mean']:.4f} km/s where the average errs by {spread['rms_error']:.4f}"
    return f"{size}; rank correlation with the error {', '.join(correlations)}"


def misfit_words(misfit: Mapping[str, float | None] | None) -> str:
    """What ``misfit_against_error`` found, in words; nothing without quality control."""
    if misfit is None or misfit["mean"] is None:
        return ""
    words = f"{misfit['mean']:.3f} of the whitened data is left by the predicted gathers"
    if misfit["samples"] is None:
        return words
    return f"{words}; rank correlation with the error {misfit['samples']:.2f} over samples"


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


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(scipy.stats.spearmanr(a, b).statistic)


def _ssim(prediction: np.ndarray, truth: np.ndarray, survey: Survey) -> float:
    if min(truth.shape) < _SSIM_CELLS:
        return float("nan")
    return ssim(prediction, truth, survey.v_min_km_s, survey.v_max_km_s)


def _covered(inside: np.ndarray) -> dict[str, float | None]:
    """Of the share of the cells within, (sample, row of cells)."""
    samples = inside.mean(1)
    error = float(samples.std(ddof=1) / len(samples) ** 0.5) if len(samples) > 1 else None
    return {"coverage": float(samples.mean()), "error": error}


def _bands(at_depth: np.ndarray, spacing_m: float) -> list[dict[str, float]]:
    return [
        {"from_m": float(a * spacing_m), "to_m": float(b * spacing_m), "mape": float(at_depth[a:b].mean())}
        for a, b in _edges(len(at_depth))
    ]


def _edges(rows: int) -> Iterator[tuple[int, int]]:
    """Where the ranges of depth begin and end."""
    return itertools.pairwise(np.linspace(0, rows, min(BANDS, rows) + 1).round().astype(int))
