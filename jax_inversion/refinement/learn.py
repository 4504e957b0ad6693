"""The prior of a run: its network's errors on its own training samples."""

import dataclasses
import logging

import jax
import numpy as np
from jaxtyping import Float

from ..data.rows import open_whole
from ..data.store import Store
from ..errors import UserError
from ..inference.predict import make_predict
from ..inference.predictor import Predictor
from ..progress import Progress
from ..resampling import cell_means, resize
from ..runs import Run
from ..training.assembly import groups
from ..training.base import fit_base
from ..training.samples import Samples, coarse_shape, split
from . import prior
from .prior import Prior

_FINEST_M = 5.0  # cells that are predicted on: finer ones change no average over the prior's
_BATCH = 16

log = logging.getLogger(__name__)


def learnt(predictor: Predictor) -> Prior:
    """The prior of a checkpoint: kept in its run, or learnt now from samples of the run's store.

    Networks that are trained for few epochs err as much on training samples as on others, and what the base predicts
    for a sample was fitted without it; so training samples serve, and validation samples are left to judge by.
    ``UserError`` where the run has no store.
    """
    run, settings = Run(predictor.restored.run), predictor.config.refine
    try:
        store = open_whole(run.store, predictor.restored.survey)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{run.store}: no packed training samples ({error}); refining learns from the run's own what its networks' "
            "errors look like: fetch store/ too, or train the run here"
        ) from None
    made_from = {
        "checkpoint": predictor.restored.fingerprint,
        "store": store.fingerprint,
        "samples": settings.prior_samples,
        "spacing_m": settings.spacing_m,
    }
    place = run.prior(predictor.restored.label)
    if (kept := prior.load(place, made_from)) is not None:
        return kept
    errors = network_errors(predictor, run, store)
    survey = predictor.survey
    cells = np.einsum("nxz->xz", np.square(errors))
    log.info(
        "learning the prior from %d samples, where log velocity is wrong by %.3f",
        len(errors), np.sqrt(cells.mean() / len(errors)),
    )  # fmt: skip
    found = prior.fit(errors, settings.spacing_m, survey.has_mirror)
    place.parent.mkdir(parents=True, exist_ok=True)
    prior.save(found, place, made_from)
    return found


def network_errors(predictor: Predictor, run: Run, store: Store) -> Float[np.ndarray, "n X Z"]:
    """Logarithms of truth over prediction on cells of ``refine.spacing_m``, of training samples evenly chosen."""
    config, survey = predictor.config, store.survey
    samples = split(store, config.data.validation_fraction, config.data.split_seed)
    base = fit_base(config, samples, run.base).grids if config_has_base(predictor) else {}
    rows = _chosen(samples, config.refine.prior_samples)
    shape = coarse_shape(survey, max(_FINEST_M, config.train.spacing_m))
    cells = coarse_shape(survey, config.refine.spacing_m)
    settings = dataclasses.replace(config.infer, noise_copies=0, noise_level=0.0)
    predict = make_predict(groups(config, survey, shape), predictor.inputs, settings)
    variables, key, errors = jax.device_put(predictor.restored.variables), jax.random.key(0), []
    with Progress(len(rows), "learning what predictions miss") as progress:
        for k in range(0, len(rows), _BATCH):
            batch = rows[k : k + _BATCH]
            filled = np.concatenate([batch, np.repeat(batch[-1:], _BATCH - len(batch))])
            bases = {name: np.asarray(resize(grids[filled], shape)) for name, grids in base.items()}
            predicted = np.asarray(predict(variables, store.gathers[filled], bases, key)[0])[: len(batch)]
            truths = cell_means((store.models[row] for row in batch), shape)
            errors.append(resize(np.log(truths / predicted), cells))
            progress.update(len(batch))
    return np.concatenate(errors)


def config_has_base(predictor: Predictor) -> bool:
    """Whether any group corrects a base."""
    return any(settings.base.regression != "none" for settings in predictor.config.groups.values())


def _chosen(samples: Samples, most: int) -> np.ndarray:
    train = samples.train
    return train[np.linspace(0, len(train) - 1, min(most, len(train))).round().astype(int)]
