"""Intervals that hold the truth as often as they say: the members' spread, scaled by conformal risk control.

Log velocity is to lie within q times the relative spread of the prediction. For each band of depth q is the least for
which samples that training did not see are missed, on average over their cells, in no more than the share allowed
(Angelopoulos et al. 2024, arXiv:2208.02814, with the share of a sample's cells as its loss). What is exchanged there is
the sample, not the cell: the promise is one for cells of a new sample of the same kind, on average over samples. One
step away from the theorem: a new sample is reckoned with as the worst that was seen, not as one missed in every cell,
by which few samples would promise too much (benchmarks/README.md, "Intervals").
"""

import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from functools import lru_cache
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import UserError
from ..survey import Survey
from .predictor import Predictor
from .stored import Stored, predict_stored, stored_samples
from .submission import SubmissionWriter, bounds_paths, read_submission, spread_path

BANDS = 16  # of depth
FEWEST = 20  # samples to calibrate on
INTERVALS = "intervals"  # in a model file
LEVELS = tuple(k / 100 for k in (*range(10, 95, 5), *range(95, 100)))  # that it is calibrated for
LEAST = 1e-3  # relative spread: where members agree by construction, as in the water

Factors = Float[np.ndarray, " band"]
Table = Mapping[str, np.ndarray]


def calibrated(predictor: Predictor, level: float) -> Factors:
    """The factors of a checkpoint, from its run's validation samples or its model file.

    ``UserError`` where these are too few.
    """
    check_level(level)
    brought = predictor.restored.extras.get(INTERVALS)
    if brought is None:
        return factors(_validated(predictor), level)
    return chosen(brought, level, str(predictor.restored.path))


def portable(predictor: Predictor) -> Table:
    """What a model file brings: see ``table``."""
    return table(_validated(predictor))


def table(stored: Stored) -> Table:
    """The factors of ``LEVELS``, (level, band), as far as so many samples can promise them."""
    most = len(stored.models) / (len(stored.models) + 1)
    levels = [level for level in LEVELS if level < most]
    each = np.stack([factors(stored, level) for level in levels])
    return {"levels": np.array(levels, np.float32), "factors": each.astype(np.float32)}


def chosen(known: Table, level: float, where: str) -> Factors:
    """The factors of the least level in a ``table`` that is no less than ``level``; ``where`` the table lies."""
    check_level(level)
    enough = np.flatnonzero(known["levels"] >= level - 1e-6)
    if not len(enough):
        raise UserError(f"{where}: calibrated for levels to {known['levels'][-1]:.2f}, not for {level:g}")
    return known["factors"][enough[0]]


def with_others(find: Callable[[float], Factors], level: float, others: Iterable[float]) -> dict[float, Factors]:
    """The factors of ``level``, and of ``others`` where ``find`` has them: intervals are scored at these too."""
    found = {level: find(level)}
    for other in others:
        with suppress(UserError):  # what so few samples cannot promise was not asked for
            found[other] = find(other)
    return dict(sorted(found.items()))


@lru_cache(maxsize=2)  # of predictors, which are asked again and again
def _validated(predictor: Predictor) -> Stored:
    samples = stored_samples(predictor)
    if len(samples.validation) < FEWEST or np.isin(samples.validation, samples.train).any():
        raise UserError(
            f"intervals are calibrated on validation samples, {FEWEST} or more; the run has "
            f"{len(np.setdiff1d(samples.validation, samples.train))}: raise data.validation_fraction"
        )
    return predict_stored(predictor, samples, samples.validation, "calibrating")


def factors(stored: Stored, level: float) -> Factors:
    """What the spread is to be multiplied by in each band so that intervals of ``level`` hold.

    ``UserError`` for a level that so few samples cannot promise.
    """
    check_level(level)
    n = len(stored.models)
    if (n + 1) * (1 - level) <= 1:
        raise UserError(f"{n} samples cannot promise {level:g}; right is at most {n / (n + 1):.3f}")
    scores = np.abs(np.log(stored.truths / stored.models)) / relative(stored.spreads, stored.models)
    bands = np.array_split(scores, min(BANDS, scores.shape[2]), axis=2)
    return np.array([_least(band.reshape(n, -1), 1 - level) for band in bands])


def check_level(level: float) -> None:
    """``UserError`` unless it is a probability that intervals can have."""
    if not (isinstance(level, Real) and 0 < level < 1):
        shown = f"{level:g}" if isinstance(level, Real) else repr(level)
        raise UserError(f"--intervals is {shown}; right is a share of the cells between 0 and 1, such as 0.9")


def relative(spread: np.ndarray, model: np.ndarray) -> np.ndarray:
    """Spread over velocity, no less than ``LEAST``."""
    return np.maximum(spread / model, LEAST)


def write_bounds(
    out: Path,
    known: Mapping[float, Factors],
    level: float,
    survey: Survey,
    made_from: Mapping[str, Any],
    apart: Mapping[str, Factors] | None = None,
) -> None:
    """The lower and upper models of the submission ``out``, whose spread lies beside it. Of the other levels that are
    ``known`` they have the factors, which is enough to score them. Samples ``apart``, by id, have factors of their own
    for ``level``.
    """
    apart = apart or {}
    if apart:  # what is known of other levels does not hold for all
        known = {level: known[level]}
    made = {**made_from, "level": level, "factors": {str(each): list(map(float, known[each])) for each in known}}
    with ExitStack() as stack:
        models, spreads = (stack.enter_context(read_submission(path)) for path in (out, spread_path(out)))
        writers = [stack.enter_context(SubmissionWriter(path, made)) for path in bounds_paths(out)]
        for sample_id in models.ids:
            model, spread = (each.read(sample_id, survey.model_shape) for each in (models, spreads))
            found = apart.get(sample_id, known[level])
            for writer, bound in zip(writers, bounds(model, spread, found, survey), strict=True):
                writer.write(sample_id, bound)


def bounds(model: np.ndarray, spread: np.ndarray, found: Factors, survey: Survey) -> Iterator[np.ndarray]:
    """The lower and the upper model (*sample, x, depth) of one, within the survey's velocities."""
    rows = np.array_split(np.arange(model.shape[-1]), len(found))
    wide = np.repeat(found, [len(band) for band in rows]) * relative(spread, model)
    for sign in (-1, 1):
        yield np.clip(model * np.exp(sign * wide), survey.v_min_km_s, survey.v_max_km_s)


def _least(scores: Float[np.ndarray, "sample cell"], allowed: float) -> float:
    """The least factor that no more than the share ``allowed`` of the scores exceeds, on average over these samples and
    one more, of which as much is missed as of the worst.
    """
    every = np.sort(scores, axis=None)

    def missed(k: int) -> float:
        shares = (scores > every[k]).mean(1)
        return float(shares.sum() + shares.max()) / (len(shares) + 1)

    return float(every[bisect.bisect_left(range(len(every)), True, key=lambda k: missed(k) <= allowed)])
