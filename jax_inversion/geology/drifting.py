"""Marine sections whose velocity does not go on with depth as it began: what a network must read from the data."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..arrays import Velocity
from ..survey import Survey
from . import axes, draws
from .marine import varied

_STEPS = 4


def drifting(key: jax.Array, survey: Survey) -> Velocity:
    """A ``varied`` section, (x, depth) in km/s, faster or slower by a factor that wanders with depth.

    Networks that know the other presets only expect of shallow beds how fast the deep ones are, where the record is
    nearly over; here these are as fast as the data say: plateaus, steps, slow zones below fast ones.
    """
    k_section, k_drift = jax.random.split(key)
    section = varied(k_section, survey)
    drifted = section * jnp.exp(_drift(k_drift, survey))
    return jnp.where(section > survey.v_min_km_s, jnp.clip(drifted, survey.v_min_km_s, survey.v_max_km_s), section)


def _drift(key: jax.Array, survey: Survey) -> Float[Array, "1 depth"]:
    """Logarithm of the factor: smooth steps at random depths."""
    depth_m, (_, z_m) = axes.depth_m(survey), axes.cells_m(survey)
    steps = []
    for k_step in jax.random.split(key, _STEPS):
        place, width, size = draws.uniforms(k_step, (0.15, 1.0), (0.02, 0.12), (-0.18, 0.18))
        steps.append(size * jax.nn.sigmoid((z_m - place * depth_m) / (width * depth_m)))
    return jnp.sum(jnp.stack(steps), axis=0)
