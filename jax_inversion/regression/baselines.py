"""The baselines of a training set, fitted together, and their predictions.

The fitted arrays: ``profile`` (depth,) km/s, the median of the training models; ``dt_s``, ``interval_s`` and ``gain``
of the features; ``centre``, ``basis`` and ``signs`` of the projection; ``points``, the projected training samples; and
those of each regression, their names led by ``linear_`` and ``kernel_``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ..resampling import resize
from .features import GAIN, Arrays, Gathers, Inputs, components, features, project
from .kernels import KERNELS, Grids, apply
from .kernels import fit as fit_kernel
from .settings import BaseConfig

TITLES = {"profile": "median profile", "linear": "linear regression", "kernel": "kernel regression"}
_COLUMNS = 30  # of each model, at least, that its profile is taken from
_ROWS = 64


@dataclass(frozen=True, eq=False)
class Fit:
    """``left_out``, by the regression's name: each training sample as predicted with itself left out, km/s."""

    arrays: Arrays
    left_out: Mapping[str, Grids]


def settings_arrays(settings: BaseConfig, dt_s: float, std: float) -> Arrays:
    """What ``features`` needs beside gathers every ``dt_s`` whose standard deviation is ``std``."""
    gain = GAIN / std if settings.input == "arcsinh" else 0.0
    values = {"dt_s": dt_s, "interval_s": settings.dt_s, "gain": gain}
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def median_profile(models: Any, rows: np.ndarray) -> Float[np.ndarray, " depth"]:
    """The median over the ``rows`` of models (n, x, depth), indexed as an array is, and over x, km/s."""
    some = models[rows, :: max(1, models.shape[1] // _COLUMNS)]
    blocks = range(0, some.shape[2], _ROWS)  # the median copies what it is given
    return np.concatenate([np.median(some[:, :, k : k + _ROWS], axis=(0, 1)) for k in blocks])


def fit(settings: BaseConfig, inputs: Inputs, log_velocity: Grids, mirror: bool, kernel: bool) -> Fit:
    """Linear regression, and with ``kernel`` kernel regression, on ``features`` of the training samples.

    ``log_velocity``: logarithms of km/s, averaged over coarse cells. ``mirror``: whether the survey has that symmetry.
    """
    arrays, points = project(inputs, mirror)
    arrays["points"] = points
    penalties = {"linear": settings.linear_penalty, "kernel": settings.kernel_penalty}
    left_out = {}
    for name in KERNELS if kernel else KERNELS[:1]:
        own, left_out[name] = fit_kernel(name, points, arrays["signs"], log_velocity, penalties[name], mirror)
        arrays |= {f"{name}_{key}": array for key, array in own.items()}
    return Fit(arrays, left_out)


def fitted(arrays: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Names of the baselines that ``arrays`` hold, the simplest first."""
    return tuple(name for name in TITLES if name in arrays or f"{name}_scale" in arrays)


def grids(arrays: Mapping[str, np.ndarray], name: str, inputs: Inputs) -> Grids:
    """Models, km/s, that the baseline ``name`` predicts from ``features``, on its own grid: the profile is a column."""
    if name == "profile":
        return np.broadcast_to(arrays["profile"], (len(inputs), 1, len(arrays["profile"])))
    own = {key.removeprefix(f"{name}_"): array for key, array in arrays.items() if key.startswith(f"{name}_")}
    return apply(name, own, arrays["points"], components(arrays, inputs), arrays["signs"])


def predict(
    arrays: Mapping[str, np.ndarray],
    name: str,
    gathers: Gathers,
    shape: tuple[int, int],
) -> Float[np.ndarray, "n x depth"]:
    """Models on cells of ``shape`` (x, depth), km/s, by the baseline ``name``, one of ``fitted(arrays)``.

    ``gathers`` are decimated, and preprocessed where the baselines were fitted to such (``BaseConfig.input``).
    """
    settings = (float(arrays[key]) for key in ("dt_s", "interval_s", "gain"))
    return resize(grids(arrays, name, features(gathers, *settings)), shape)
