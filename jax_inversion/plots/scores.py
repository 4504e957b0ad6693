"""A submission's scores drawn: best, median and worst prediction, errors, intervals, and what refining changed."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..data.folders import read_velocity
from ..inference.intervals import Factors, bounds
from ..inference.scoring import Truth, ranked
from ..inference.submission import read_spread, read_submission
from .canvas import save
from .curves import error_by_depth, sample_scores
from .intervals import interval_profiles
from .models import comparison, correction
from .rows import extremes

log = logging.getLogger(__name__)


def draw_scores(scores: dict[str, Any], truth: Truth, submission: Path, out: Path) -> list[Path]:
    """Write the figures into ``out``; the members' spread is shown where it lies beside the submission."""
    survey, paths = truth.survey, []
    for rank, sample in ranked(scores, truth.samples).items():
        with read_submission(submission) as found:
            prediction = found.read(sample.id, survey.model_shape)
        with read_spread(submission) as spreads:
            spread = spreads.read(sample.id, survey.model_shape) if spreads else None
        title = f"{sample.id}, the {rank} of {len(truth.samples)}: MAPE {100 * scores['per_sample'][sample.id]:.2f} %"
        figure = comparison(read_velocity(sample, survey), prediction, survey, spread=spread, title=title)
        paths.append(save(figure, out / f"prediction_{rank}.png"))
    curve = {f"mean {100 * scores['mape']:.2f} %": np.asarray(scores["mape_at_depth"])}
    paths.append(save(error_by_depth(curve, survey.spacing_m), out / "mape_by_depth.png"))
    paths.append(save(sample_scores(scores["per_sample"]), out / "mape_by_sample.png"))
    log.info(f"figures in {out}")
    return paths


def draw_intervals(
    scores: dict[str, Any], truth: Truth, submission: Path, known: Mapping[float, Factors], out: Path
) -> Path:
    """Write profiles of the median sample to ``out``, with the bands of each level in ``known``."""
    sample, survey = ranked(scores, truth.samples)["median"], truth.survey
    with read_submission(submission) as models, read_spread(submission) as spreads:
        assert spreads is not None  # intervals were scored by it
        model, spread = (each.read(sample.id, survey.model_shape) for each in (models, spreads))
    bands = {}
    for level, factors in known.items():
        low, high = bounds(model, spread, factors, survey)
        bands[level] = low, high
    shares = _listed([f"{100 * level:g}" for level in known])
    title = f"{sample.id}, the median: bands that are to hold {shares} % of the cells"
    return save(interval_profiles(read_velocity(sample, survey), model, bands, survey, title=title), out)


def draw_refined(
    systems: Mapping[str, dict[str, Any]], truth: Truth, predicted: Path, refined: Path, out: Path
) -> list[Path]:
    """Write into ``out`` the samples that refining helped most and least."""
    survey, samples = truth.survey, {sample.id: sample for sample in truth.samples}
    before, after = (systems[name]["per_sample"] for name in ("ensemble", "refined"))
    paths = []
    with read_submission(predicted) as starts, read_submission(refined) as ends:
        for how, name in extremes(before, after).items():
            start, end = (each.read(name, survey.model_shape) for each in (starts, ends))
            title = (
                f"{name}, the {how} refined: MAPE {100 * before[name]:.2f} % before, {100 * after[name]:.2f} % after"
            )
            figure = correction(read_velocity(samples[name], survey), start, end, survey, title=title)
            paths.append(save(figure, out / f"refined_{how}.png"))
    return paths


def _listed(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if words[1:] else words)
