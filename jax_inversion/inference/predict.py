"""One jitted function from gathers to models: members, mirrored and noisy copies, averages."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .. import ensemble, models
from ..config import InferConfig
from ..data.inputs import Inputs
from ..ensemble import Groups
from ..start import Start
from ..survey import mirror_gathers, mirror_velocity

Given = Array | np.ndarray


class Predicted(NamedTuple):
    """``mean`` and ``spread`` (batch, nx, nz) and each of the ``members`` (member, batch, nx, nz), in km/s."""

    mean: Array
    spread: Array
    members: Array


Predict = Callable[[dict, Given, Mapping[str, Start], Array], Predicted]


def make_predict(groups: Groups, inputs: Inputs, settings: InferConfig) -> Predict:
    """The jitted ``predict(variables, gathers, bases, key) -> Predicted`` of an ensemble.

    ``gathers`` (batch, shot, time, receiver) are decimated, as ``inputs`` take them; ``bases`` are by name what
    networks correct, with decimated gathers where they look at these; ``key`` draws the noise. ``mean`` is the weighted
    average of the members, ``spread`` the standard deviation of their predictions, those from mirrored gathers among
    them, about the plain mean of all.

    Each member's prediction is the average over the gathers as they are and ``noise_copies`` of them with noise of
    ``noise_level * std``, and with ``mirror`` over the mirror images of all those, mirrored back; a survey that is not
    its own mirror image (``Survey.has_mirror``) goes without.
    """
    survey, source_x = inputs.survey, models.source_x(inputs.survey)

    def members(variables: dict, residual: Array, bases: Mapping[str, Start]) -> Array:
        starts = {name: inputs.start(residual, base) for name, base in bases.items()}
        return ensemble.predict(groups, variables, inputs.scaled(residual), source_x, starts)

    def each_way(variables: dict, residual: Array, bases: Mapping[str, Start]) -> Array:
        """(way, member, batch, nx, nz)"""
        velocity = members(variables, residual, bases)
        if not (settings.mirror and survey.has_mirror):
            return velocity[None]
        flipped = {name: base.mirrored() for name, base in bases.items()}
        return jnp.stack([velocity, mirror_velocity(members(variables, mirror_gathers(residual), flipped))])

    @jax.jit
    def predict(variables: dict, gathers: Array, bases: Mapping[str, Start], key: Array) -> Predicted:
        residual = inputs.residual(gathers)
        bases = {name: inputs.without_background(base) for name, base in bases.items()}

        def add_copy(total: Array, copy_key: Array) -> tuple[Array, None]:
            noise = settings.noise_level * inputs.std * jax.random.normal(copy_key, gathers.shape, gathers.dtype)
            return total + each_way(variables, residual + noise, bases).mean(0), None

        ways = each_way(variables, residual, bases)
        total = ways.mean(0)
        if settings.noise_copies:  # a scan, so that memory does not grow with the copies
            total, _ = jax.lax.scan(add_copy, total, jax.random.split(key, settings.noise_copies))
        velocity = total / (1 + settings.noise_copies)
        return Predicted(ensemble.combine(velocity, variables["logits"]), jnp.std(ways, axis=(0, 1)), velocity)

    return predict
