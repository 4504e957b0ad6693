"""The prior of a checkpoint: its networks' errors on its run's training samples, or those that a model file brings."""

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..data.statistics import evenly
from ..errors import UserError
from ..inference.predictor import Predictor
from ..inference.stored import predict_stored, stored_samples
from ..resampling import resize
from ..runs import Run
from ..training.samples import coarse_shape
from . import prior
from .prior import Fields, Prior

PRIOR = "prior"  # in a model file
_STEPS = 127  # of the largest error: a model file has them as bytes

log = logging.getLogger(__name__)


def learnt(predictor: Predictor) -> Prior:
    """The prior of a checkpoint: kept in its run, or made now. ``UserError`` where nothing says it."""
    settings, brought = predictor.config.refine, predictor.restored.extras.get(PRIOR)
    made_from = {
        "checkpoint": predictor.restored.fingerprint,
        "samples": settings.prior_samples,
        "spacing_m": settings.spacing_m,
    }
    if brought is None:
        made_from["store"] = stored_samples(predictor).store.fingerprint
    elif not np.isclose(settings.spacing_m, brought["spacing_m"]):
        raise UserError(
            f"refine.spacing_m is {settings.spacing_m:g}; {predictor.restored.path} brings a prior on cells of "
            f"{float(brought['spacing_m']):g} m, and no samples to learn another from"
        )
    place = Run(predictor.restored.run).prior(predictor.restored.label)
    if (kept := prior.load(place, made_from)) is not None:
        return kept
    mirror = predictor.survey.has_mirror
    if brought is None:
        found = prior.fit(errors(predictor), settings.spacing_m, mirror)
    else:
        fields = brought["errors"].astype(np.float32) * brought["unit"]
        found = prior.of(fields, settings.spacing_m, mirror, float(brought["share"]), float(brought["range_m"]))
    place.parent.mkdir(parents=True, exist_ok=True)
    prior.save(found, place, made_from)
    return found


def errors(predictor: Predictor) -> Fields:
    """By what log velocity is off in training samples of the run's store, on the correction's cells.

    Networks that are trained for few epochs err as much on training samples as on others; so training samples
    serve, and validation samples are left to judge by. ``UserError`` where the run has no store.
    """
    samples, settings = stored_samples(predictor), predictor.config.refine
    rows = samples.train[evenly(len(samples.train), settings.prior_samples)]
    stored = predict_stored(predictor, samples, rows, "learning what predictions miss")
    found = resize(np.log(stored.truths / stored.models), coarse_shape(samples.store.survey, settings.spacing_m))
    log.info(f"learning the prior from {len(found)} samples, where log velocity is wrong by {np.std(found):.3f}")
    return np.asarray(found)


def portable(predictor: Predictor) -> Mapping[str, Any]:
    """What a model file brings of a run's prior: the errors as bytes, and what was found likeliest."""
    fields, spacing_m = errors(predictor), predictor.config.refine.spacing_m
    known = prior.fit(fields, spacing_m, predictor.survey.has_mirror)
    unit = np.float32(np.abs(fields).max() / _STEPS)
    return {
        "errors": np.round(fields / unit).astype(np.int8),
        "unit": unit,
        "share": np.float32(known.share),
        "range_m": np.float32(known.range_m),
        "spacing_m": np.float32(spacing_m),
    }
