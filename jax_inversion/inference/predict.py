"""One jitted function from gathers to models: members, mirrored and noisy copies, averages."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .. import ensemble, models
from ..config import InferConfig
from ..data.inputs import Inputs
from ..ensemble import Groups
from ..survey import mirror_gathers, mirror_velocity

Given = Array | np.ndarray
Predict = Callable[[dict, Given, Mapping[str, Given], Array], tuple[Array, Array]]


def make_predict(groups: Groups, inputs: Inputs, settings: InferConfig) -> Predict:
    """The jitted ``predict(variables, gathers, bases, key) -> (mean, spread)`` of an ensemble.

    ``gathers`` (batch, shot, time, receiver) are decimated, as ``inputs`` take them; ``bases`` are by name the models
    (batch, nx, nz) that networks correct; ``key`` draws the noise. ``mean`` and ``spread`` are (batch, nx, nz) in
    km/s: the weighted average of the members, and their standard deviation about their plain mean.

    Each member's prediction is the average over the gathers as they are and ``noise_copies`` of them with noise of
    ``noise_level * std``, and with ``mirror`` over the mirror images of all those, mirrored back; a survey that is not
    its own mirror image (``Survey.has_mirror``) goes without.
    """
    survey, source_x = inputs.survey, models.source_x(inputs.survey)

    def members(variables: dict, residual: Array, bases: Mapping[str, Array]) -> Array:
        return ensemble.predict(groups, variables, inputs.scaled(residual), source_x, bases)

    def both_ways(variables: dict, residual: Array, bases: Mapping[str, Array]) -> Array:
        velocity = members(variables, residual, bases)
        if not (settings.mirror and survey.has_mirror):
            return velocity
        flipped = {name: mirror_velocity(base) for name, base in bases.items()}
        return (velocity + mirror_velocity(members(variables, mirror_gathers(residual), flipped))) / 2

    @jax.jit
    def predict(variables: dict, gathers: Array, bases: Mapping[str, Array], key: Array) -> tuple[Array, Array]:
        residual = inputs.residual(gathers)

        def add_copy(total: Array, copy_key: Array) -> tuple[Array, None]:
            noise = settings.noise_level * inputs.std * jax.random.normal(copy_key, gathers.shape, gathers.dtype)
            return total + both_ways(variables, residual + noise, bases), None

        total = both_ways(variables, residual, bases)
        if settings.noise_copies:  # a scan, so that memory does not grow with the copies
            total, _ = jax.lax.scan(add_copy, total, jax.random.split(key, settings.noise_copies))
        velocity = total / (1 + settings.noise_copies)
        return ensemble.combine(velocity, variables["logits"]), jnp.std(velocity, axis=0)

    return predict
