"""The prior of a run: its networks' errors on its own training samples."""

import logging

import numpy as np

from ..data.statistics import evenly
from ..inference.predictor import Predictor
from ..inference.stored import predict_stored, stored_samples
from ..resampling import resize
from ..runs import Run
from ..training.samples import coarse_shape
from . import prior
from .prior import Prior

log = logging.getLogger(__name__)


def learnt(predictor: Predictor) -> Prior:
    """The prior of a checkpoint: kept in its run, or learnt now from samples of the run's store.

    Networks that are trained for few epochs err as much on training samples as on others; so training samples
    serve, and validation samples are left to judge by. ``UserError`` where the run has no store.
    """
    config, survey = predictor.config, predictor.survey
    samples, settings = stored_samples(predictor), config.refine
    made_from = {
        "checkpoint": predictor.restored.fingerprint,
        "store": samples.store.fingerprint,
        "samples": settings.prior_samples,
        "spacing_m": settings.spacing_m,
    }
    place = Run(predictor.restored.run).prior(predictor.restored.label)
    if (kept := prior.load(place, made_from)) is not None:
        return kept
    rows = samples.train[evenly(len(samples.train), settings.prior_samples)]
    stored = predict_stored(predictor, samples, rows, "learning what predictions miss")
    errors = resize(np.log(stored.truths / stored.models), coarse_shape(samples.store.survey, settings.spacing_m))
    log.info(f"learning the prior from {len(errors)} samples, where log velocity is wrong by {np.std(errors):.3f}")
    found = prior.fit(errors, settings.spacing_m, survey.has_mirror)
    place.parent.mkdir(parents=True, exist_ok=True)
    prior.save(found, place, made_from)
    return found
