"""Where the linear baseline joins training: predictions for every sample of the store, on its own coarse grid."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .. import losses
from ..config import Config
from ..models import ridge
from .samples import Samples


@dataclass(frozen=True, eq=False)
class Base:
    """A fitted baseline.

    ``grids`` (sample, gx, gz) float32 km/s has a row for each sample of the store: out-of-fold predictions for training
    samples, plain ones for validation samples. ``arrays`` is what prediction needs, kept in every checkpoint.
    ``validation_mape`` is its score, a fraction. ``corrects`` says whether the networks learn the correction to it.
    """

    grids: np.ndarray
    arrays: Mapping[str, np.ndarray]
    validation_mape: float
    corrects: bool


def fit_base(config: Config, samples: Samples) -> Base | None:
    """Fit the linear baseline to the training samples; None, with a word, where the survey has no mirror symmetry."""
    from .step import resize_base

    store, section = samples.store, config.model
    survey = store.survey
    if not survey.has_mirror:
        print(
            f"no linear baseline: the survey is not its own mirror image ({survey.mirror_error_m} m off)",
            file=sys.stderr,
        )
        return None
    settings = {"dt_s": survey.dt_s, "interval_s": section.ridge_dt_s, "std": store.std}
    inputs = ridge.features(store.gathers, **settings)
    targets = ridge.coarsen(store.velocities[samples.train], survey.spacing_m, section.ridge_spacing_m)
    arrays, left_out = ridge.fit(inputs[samples.train], targets, section.ridge_penalty)
    grids = np.empty((len(store), *targets.shape[1:]), np.float32)
    grids[samples.validation] = ridge.apply(arrays, inputs[samples.validation])
    grids[samples.train] = left_out
    scores = [
        float(losses.mape(resize_base(grids[row], survey), store.velocities[row])) for row in samples.validation
    ]
    arrays |= {name: np.float32(value) for name, value in settings.items()}
    return Base(grids, arrays, float(np.mean(scores)), section.base == "ridge")
