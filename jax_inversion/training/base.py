"""Where the baselines without a network join training: predictions for every sample of the store, on a coarse grid."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .. import losses
from ..config import Config
from ..regression import ridge
from ..resampling import cell_means
from .samples import Samples, coarse_shape
from .step import resize_base


@dataclass(frozen=True, eq=False)
class Base:
    """The fitted baselines: the linear one always, and the one that the networks correct.

    ``grids`` (sample, gx, gz) float32 km/s has a row for each sample of the store, None where the networks correct
    nothing: predictions with the sample itself left out for training samples, plain ones for validation samples.
    ``arrays`` is what prediction needs, kept in every checkpoint. ``mape`` has each baseline's validation score.
    """

    grids: np.ndarray | None
    arrays: Mapping[str, np.ndarray]
    mape: Mapping[str, float]


def fit_base(config: Config, samples: Samples) -> Base | None:
    """Fit the baselines to the training samples; None, with a word, where the survey has no mirror symmetry."""
    store, section = samples.store, config.base
    survey = store.survey
    if not survey.has_mirror:
        print(f"no baselines: the survey is {survey.mirror_error_m} m off its mirror image", file=sys.stderr)
        return None
    settings = {"dt_s": survey.dt_s, "interval_s": section.dt_s, "std": store.std}
    inputs = ridge.features(store.gathers, **settings)
    logarithms = (np.log(store.velocities[row]) for row in samples.train)
    targets = cell_means(logarithms, coarse_shape(survey, section.spacing_m))
    arrays, points = ridge.project(inputs[samples.train])
    arrays |= {name: np.float32(value) for name, value in settings.items()}
    others = ridge.components(arrays, inputs[samples.validation])
    grids, mape = None, {}
    penalties = {"linear": section.linear_penalty, "kernel": section.kernel_penalty}
    for kernel in ("linear", "kernel")[: 1 + (section.regression == "kernel")]:
        fitted, left_out = ridge.fit(kernel, points, arrays["signs"], targets, penalties[kernel])
        arrays |= {f"{kernel}_{name}": array for name, array in fitted.items()}
        validated = ridge.apply(kernel, fitted, others, arrays["signs"])
        fine = (resize_base(grid, survey.model_shape) for grid in validated)
        truths = (store.velocities[row] for row in samples.validation)
        mape[kernel] = float(np.mean([losses.mape(g, t) for g, t in zip(fine, truths, strict=True)]))
        if kernel == section.regression:
            grids = np.empty((len(store), *targets.shape[1:]), np.float32)
            grids[samples.train], grids[samples.validation] = left_out, validated
    return Base(grids, arrays, mape)
