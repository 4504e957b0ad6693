"""A submission against the truth: which folder holds it, and the scores."""

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.folders import MODEL_FILE, Sample, find_samples, read_velocity
from ..errors import UserError
from ..npy import header_of
from ..progress import track
from ..survey import CHALLENGE, Survey
from .intervals import Factors, bounds
from .scores import compare_spread, interval_scores, misfit_against_error, spread_against_error, summarise
from .submission import bounds_paths, read_misfits, read_spread, read_submission

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Truth:
    """True models: samples below one folder, and the survey that they are of."""

    samples: list[Sample]
    survey: Survey


def find_truth(root: Path | str, survey: Survey | None = None) -> Truth:
    """The true models in truth/, test/ or train/ below ``root`` or in it itself: the first of these that has any.

    Without ``survey`` it is the challenge's, with the shape of the first model there. ``UserError``: there is none.
    """
    root = Path(root)
    for folder in (root / "truth", root / "test", root / "train", root):
        if any(not path.parent.name.startswith(".") for path in folder.glob(f"*/{MODEL_FILE}")):
            samples = find_samples(folder, None, survey or CHALLENGE)
            return Truth(samples, survey or _survey_of(samples[0]))
    raise UserError(f"{root}: no velocity models; looked for */{MODEL_FILE} in it and its truth/, test/, train/")


def score(truth: Truth, submission: Path | str) -> dict[str, Any]:
    """``scores.summarise`` of a submission, and as ``spread`` and ``misfit`` what ``scores.spread_against_error`` and
    ``misfit_against_error`` say of the members' spread and of quality control, where these lie beside it.

    ``UserError`` where it does not hold exactly the truth's ids, or a model is not as it should be.
    """
    shape, compared = truth.survey.model_shape, []
    with read_submission(submission) as found, read_spread(submission) as spreads:
        found.check_ids([sample.id for sample in truth.samples])

        def triples() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
            for sample in track(truth.samples, len(truth.samples), "scoring"):
                model, prediction = read_velocity(sample, truth.survey), found.read(sample.id, shape)
                if spreads is not None:
                    compared.append(compare_spread(model, prediction, spreads.read(sample.id, shape)))
                yield sample.id, model, prediction

        scores = summarise(triples(), truth.survey)
    scores |= {"spread": spread_against_error(compared)} if compared else {}
    known = read_misfits(Path(submission))
    return scores | ({"misfit": misfit_against_error(known, scores["per_sample"])} if known else {})


def score_intervals(truth: Truth, submission: Path | str) -> list[dict[str, Any]]:
    """``scores.interval_scores`` of the lower and upper models beside a submission, and of the other levels whose
    factors they have; in order of level.

    ``UserError`` where there are none, or they were made of another prediction.
    """
    lower, upper = bounds_paths(Path(submission))
    if not (lower.exists() and upper.exists()):
        raise UserError(f"{submission}: no {lower.name} and {upper.name} beside it; infer --intervals 0.9 writes them")
    with read_submission(submission) as own, read_submission(lower) as low, read_submission(upper) as high:
        made = dict(low.made_from or {})
        level, factors = made.pop("level", None), made.pop("factors", None)
        if level is None or factors is None or made != own.made_from or low.made_from != high.made_from:
            raise UserError(f"{lower}: bounds of another prediction than {submission}; predict with --intervals again")
        low.check_ids([sample.id for sample in truth.samples])
        shape = truth.survey.model_shape
        triples = (
            (read_velocity(sample, truth.survey), low.read(sample.id, shape), high.read(sample.id, shape))
            for sample in truth.samples
        )
        written = interval_scores(triples, level, truth.survey)
    others = {float(each): np.array(found) for each, found in factors.items() if float(each) != level}
    return sorted([written, *cover(truth, submission, others)], key=lambda found: found["level"])


def cover(truth: Truth, submission: Path | str, known: Mapping[float, Factors]) -> list[dict[str, Any]]:
    """``scores.interval_scores`` of each level of ``known``, by what it multiplies the spread beside a submission with.

    ``UserError`` where that is the spread of another prediction, or none.
    """
    with read_submission(submission) as models, read_spread(submission) as spreads:
        if spreads is None:
            raise UserError(f"{submission}: no spread of this prediction beside it; predict with --uncertainty")

        def triples(factors: Factors) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
            for sample in truth.samples:
                model, spread = (each.read(sample.id, truth.survey.model_shape) for each in (models, spreads))
                low, high = bounds(model, spread, factors, truth.survey)
                yield read_velocity(sample, truth.survey), low, high

        return [interval_scores(triples(factors), level, truth.survey) for level, factors in known.items()]


def ranked(scores: dict[str, Any], samples: Sequence[Sample]) -> dict[str, Sample]:
    """The best, the median and the worst sample."""
    order = sorted(samples, key=lambda sample: scores["per_sample"][sample.id])
    return {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}


def _survey_of(sample: Sample) -> Survey:
    """The challenge's survey, with the shape of this model where that is another."""
    try:
        shape = header_of(sample.path / MODEL_FILE).shape
    except (OSError, ValueError):
        return CHALLENGE  # reading it properly will say what is wrong
    if shape == CHALLENGE.model_shape or len(shape) != 2 or 0 in shape:
        return CHALLENGE
    log.warning(f"models are {shape}: taken for cells of {CHALLENGE.spacing_m:g} m; --survey CONFIG.toml knows better")
    return dataclasses.replace(CHALLENGE, nx=shape[0], nz=shape[1])
