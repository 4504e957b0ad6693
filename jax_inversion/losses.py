"""Loss terms over velocity models (..., x, depth) in km/s: each a pure function to a scalar, a mean over all axes.

``mape``, which is also the metric, takes NumPy arrays (float64 stays float64) and JAX arrays alike.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .arrays import Velocity
from .ranges import NonNegative


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms."""

    mape: NonNegative = 1.0  # the challenge's score: mean relative error
    l2: NonNegative = 0.3  # mean squared error
    gradient: NonNegative = 0.2  # differences of neighbours against the truth's
    total_variation: NonNegative = 0.1  # of the prediction
    physics: NonNegative = 0.1  # velocities outside the range, and those that fall with depth
    time: NonNegative = 0.0  # in two-way time, of networks that work in it


def mape(pred: Velocity, true: Velocity):
    """The challenge's score, as a fraction: the mean of |true - pred| / (|true| + 1e-8).

    Samples are of one size, so the mean over all cells is the mean over samples of each sample's mean.
    """
    return (abs(true - pred) / (abs(true) + 1e-8)).mean()


def l2(pred: Velocity, true: Velocity):
    """Mean squared error, km^2/s^2."""
    return ((pred - true) ** 2).mean()


def gradient(pred: Velocity, true: Velocity):
    """Mean squared error of the lateral differences plus that of the differences in depth, km^2/s^2."""
    error = pred - true
    return (_lateral(error) ** 2).mean() + (_vertical(error) ** 2).mean()


def total_variation(pred: Velocity):
    """Mean absolute difference between lateral neighbours plus that between neighbours in depth, km/s."""
    return abs(_lateral(pred)).mean() + abs(_vertical(pred)).mean()


def physics(pred: Velocity, v_min: float, v_max: float):
    """Mean distance outside [v_min, v_max] plus mean fall of velocity from one depth to the next, km/s."""
    outside = jax.nn.relu(v_min - pred) + jax.nn.relu(pred - v_max)
    return outside.mean() + jax.nn.relu(-_vertical(pred)).mean()


def time(log_pred: Float[Array, "*batch column time"], log_true, covered):
    """Mean absolute error of log velocity along two-way time, over what of each interval the section covers."""
    return (abs(log_pred - log_true) * covered).sum() / covered.sum()


def total(pred: Velocity, true: Velocity, weights: LossConfig, v_min: float, v_max: float):
    """The weighted sum of the terms, and the unweighted terms by name.

    A term of weight zero is left out, and its gradient with it, which a product with zero would not be; the MAPE, which
    is the metric, is always told. ``time`` is for the caller to add.
    """
    every = {
        "mape": lambda: mape(pred, true),
        "l2": lambda: l2(pred, true),
        "gradient": lambda: gradient(pred, true),
        "total_variation": lambda: total_variation(pred),
        "physics": lambda: physics(pred, v_min, v_max),
    }
    terms = {name: term() for name, term in every.items() if name == "mape" or getattr(weights, name)}
    weighted = [getattr(weights, name) * term for name, term in terms.items() if getattr(weights, name)]
    return sum(weighted, jnp.zeros((), pred.dtype)), terms


def _lateral(velocity: Velocity):
    return velocity[..., 1:, :] - velocity[..., :-1, :]


def _vertical(velocity: Velocity):
    return velocity[..., 1:] - velocity[..., :-1]
