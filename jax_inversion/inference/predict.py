"""One jitted function from gathers to models: members, mirrored and noisy copies, averages."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from .. import ensemble, models
from ..config import InferConfig
from ..data.preprocess import PreprocessConfig, normalise
from ..survey import Survey, mirror_gathers, mirror_velocity

Predict = Callable[[dict, Array, Array | None, Array], tuple[Array, Array]]


def make_predict(
    model: nn.Module, survey: Survey, std: float, preprocess: PreprocessConfig, settings: InferConfig
) -> Predict:
    """The jitted ``predict(variables, gathers, base, key) -> (mean, spread)`` of an ensemble.

    ``survey`` is the decimated one. ``gathers`` (batch, shot, time, receiver) are decimated, not normalised; ``base``
    is None or the models (batch, nx, nz) that the networks correct; ``key`` draws the noise. ``mean`` and ``spread``
    are (batch, nx, nz) in km/s: the weighted average of the members, and their standard deviation about their plain
    mean.

    Each member's prediction is the average over the gathers as they are and ``noise_copies`` of them with noise of
    ``noise_level * std``, and with ``mirror`` over the mirror images of all those, mirrored back; a survey that is not
    its own mirror image (``Survey.has_mirror``) goes without.
    """

    source_x = models.source_x(survey)

    def members(variables: dict, gathers: Array, base: Array | None) -> Array:
        return ensemble.predict(model, variables, normalise(gathers, std, survey.dt_s, preprocess), source_x, base)

    def both_ways(variables: dict, gathers: Array, base: Array | None) -> Array:
        velocity = members(variables, gathers, base)
        if not (settings.mirror and survey.has_mirror):
            return velocity
        flipped_base = None if base is None else mirror_velocity(base)
        return (velocity + mirror_velocity(members(variables, mirror_gathers(gathers), flipped_base))) / 2

    @jax.jit
    def predict(variables: dict, gathers: Array, base: Array | None, key: Array) -> tuple[Array, Array]:
        def add_copy(total: Array, copy_key: Array) -> tuple[Array, None]:
            noise = settings.noise_level * std * jax.random.normal(copy_key, gathers.shape, gathers.dtype)
            return total + both_ways(variables, gathers + noise, base), None

        total = both_ways(variables, gathers, base)
        if settings.noise_copies:  # a scan, so that memory does not grow with the copies
            total, _ = jax.lax.scan(add_copy, total, jax.random.split(key, settings.noise_copies))
        velocity = total / (1 + settings.noise_copies)
        return ensemble.combine(velocity, variables["logits"]), jnp.std(velocity, axis=0)

    return predict
