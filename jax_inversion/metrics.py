"""Scores of predicted velocity models (..., x, depth), km/s. ``mape`` is the one of ``losses``: it is defined once.

All but ``ssim`` take NumPy (float64 stays float64) and JAX arrays alike.
"""

import numpy as np
from skimage.metrics import structural_similarity

from .arrays import Velocity
from .losses import mape

__all__ = ["mae", "mape", "mape_by_depth", "rmse", "ssim"]


def mae(pred: Velocity, true: Velocity):
    """Mean absolute error, km/s."""
    return abs(pred - true).mean()


def rmse(pred: Velocity, true: Velocity):
    """Root of the mean squared error over all cells, km/s."""
    return ((pred - true) ** 2).mean() ** 0.5


def mape_by_depth(pred: Velocity, true: Velocity):
    """``mape`` of each depth: (..., x, depth) to (depth,)."""
    relative = abs(true - pred) / (abs(true) + 1e-8)
    return relative.reshape(-1, relative.shape[-1]).mean(axis=0)


def ssim(pred: Velocity, true: Velocity, v_min: float, v_max: float) -> float:
    """Structural similarity (Wang et al. 2004, doi:10.1109/TIP.2003.819861), windows of 7 cells, mean over samples.

    ``v_max - v_min`` km/s is the range of the data. Needs NumPy arrays, at least 7 cells on either axis.
    """
    shape = pred.shape[-2:]
    pairs = zip(np.asarray(pred).reshape(-1, *shape), np.asarray(true).reshape(-1, *shape), strict=True)
    return float(np.mean([structural_similarity(t, p, data_range=v_max - v_min) for p, t in pairs]))
