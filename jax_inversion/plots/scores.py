"""A submission's scores drawn: best, median and worst prediction, the error with depth and all samples' scores."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ..data.folders import read_velocity
from ..inference.scoring import Truth, ranked
from ..inference.submission import read_spread, read_submission
from .canvas import save
from .curves import error_by_depth, sample_scores
from .models import comparison

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
