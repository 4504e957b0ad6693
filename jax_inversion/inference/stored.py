"""Predictions for samples of a run's own packed store, on its coarse cells: what a network's errors are learnt from."""

import dataclasses
from functools import lru_cache
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from ..data.joined import join
from ..data.rows import open_whole
from ..errors import UserError
from ..progress import Progress
from ..resampling import cell_means
from ..runs import Run
from ..training.assembly import groups
from ..training.base import corrected, fit_base
from ..training.samples import Samples, coarse_shape, split
from .predict import make_predict
from .predictor import Predictor

_FINEST_M = 5.0  # cells that are predicted on


class Stored(NamedTuple):
    """Truths, predictions and the members' spread of samples, in km/s."""

    truths: Float[np.ndarray, "n x depth"]
    models: Float[np.ndarray, "n x depth"]
    spreads: Float[np.ndarray, "n x depth"]


@lru_cache(maxsize=2)  # of predictors: all bytes of a store are read to see that it is whole
def stored_samples(predictor: Predictor) -> Samples:
    """The store of a checkpoint's run, and its split. ``UserError`` where the run has none."""
    run, section = Run(predictor.restored.run), predictor.config.data
    place, survey = run.store, predictor.restored.survey
    try:
        store = open_whole(place, survey)
        if section.source == "mixed":
            place = run.simulated
            store = join(store, open_whole(place, survey))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{place}: no packed samples ({error}); what a run's networks miss is learnt from its own samples: "
            "fetch store/ too, or train the run here"
        ) from None
    return split(store, section.validation_fraction, section.split_seed)


def predict_stored(predictor: Predictor, samples: Samples, rows: np.ndarray, what: str) -> Stored:
    """Predict the ``rows`` of the store, without noisy copies; ``what`` is said beside the progress bar.

    What a base predicts for a training sample was fitted without it; the base of weights that training started from
    was fitted to none of them.
    """
    config, store = predictor.config, samples.store
    fitted = corrected(config) and not config.train.start
    base = fit_base(config, samples, Run(predictor.restored.run).base).grids if fitted else {}
    shape = coarse_shape(store.survey, max(_FINEST_M, config.train.spacing_m))
    settings = dataclasses.replace(config.infer, noise_copies=0, noise_level=0.0)
    size = config.infer.batch_size
    predict = make_predict(groups(config, store.survey, shape), predictor.inputs, settings)
    variables, key, found = jax.device_put(predictor.restored.variables), jax.random.key(0), []
    with Progress(len(rows), what) as progress:
        for k in range(0, len(rows), size):
            batch = rows[k : k + size]
            filled = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch))])  # so that one program does
            found_before = {name: grids[filled] for name, grids in base.items()}
            bases = predictor.starts(found_before) if fitted else predictor.bases(store.gathers[filled])
            bases = {name: start.on(shape) for name, start in bases.items()}
            predicted = predict(variables, store.gathers[filled], bases, key)
            models, spreads = (np.asarray(each)[: len(batch)] for each in (predicted.mean, predicted.spread))
            found.append((cell_means((store.models[row] for row in batch), shape), models, spreads))
            progress.update(len(batch))
    return Stored(*map(np.concatenate, zip(*found, strict=True)))
