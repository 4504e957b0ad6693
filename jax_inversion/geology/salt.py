"""A body of salt in a marine section: fast, sharp-edged, and arching the strata about it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..arrays import Velocity
from ..survey import Survey
from . import axes, draws, marine, sediments

_LOBES = 4


def salt(key: jax.Array, survey: Survey) -> Velocity:
    """Water, sediments as in the marine preset and one body of nearly constant velocity; (x, depth) in km/s."""
    k_floor, k_strata, k_beds, k_trend, k_place, k_outline, k_speed = jax.random.split(key, 7)
    x_m, z_m = axes.cells_m(survey)
    floor_m, shape = marine.sea_floor(k_floor, survey)
    centre_m, half_m = _placement(k_place, survey)
    # Rock that lies here came from deeper: strata rise towards the body and, below it, sink back.
    away = ((x_m - centre_m[0]) / (1.4 * half_m[0])) ** 2 + ((z_m - centre_m[1]) / (1.6 * half_m[1])) ** 2
    uplift_m = 0.7 * half_m[1] * jnp.exp(-away)
    coordinate_m = marine.structure(k_strata, survey, shape) + uplift_m
    rock = sediments.beds(k_beds, survey, coordinate_m) + sediments.trend(k_trend, survey, coordinate_m, floor_m)
    rock = jnp.clip(rock, survey.v_min_km_s, survey.v_max_km_s)
    speed = survey.v_max_km_s - axes.span_km_s(survey) * jax.random.uniform(k_speed, maxval=0.1)
    body = _body(k_outline, survey, centre_m, half_m)
    return marine.under_water(rock * (1 - body) + speed * body, floor_m, survey)


def _placement(key: jax.Array, survey: Survey) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
    """Centre and half lengths of the body along x and depth, in metres."""
    depth_m = axes.depth_m(survey)
    width_m = survey.nx * survey.spacing_m
    across, down, half_x, half_z = draws.uniforms(key, (0.15, 0.85), (0.5, 0.7), (0.2, 0.45), (0.07, 0.17))
    centre_m = jnp.stack([across * width_m, down * depth_m])
    return centre_m, jnp.stack([half_x * min(width_m, depth_m), half_z * depth_m])


def _body(
    key: jax.Array, survey: Survey, centre_m: Float[Array, "2"], half_m: Float[Array, "2"]
) -> Float[Array, "x depth"]:
    """The share of each cell that is salt: an ellipse whose radius swells and shrinks with direction."""
    x_m, z_m = axes.cells_m(survey)
    across, down = (x_m - centre_m[0]) / half_m[0], (z_m - centre_m[1]) / half_m[1]
    angle = jnp.arctan2(down, across)
    radius = jnp.ones_like(angle)
    size, turn = jax.random.uniform(key, (2, _LOBES))
    for k in range(_LOBES):
        radius += 0.3 / (k + 1) * size[k] * jnp.cos((k + 2) * angle + 2 * jnp.pi * turn[k])
    inside_m = (radius - jnp.hypot(across, down)) * jnp.min(half_m)
    return jnp.clip(inside_m / survey.spacing_m + 0.5, 0.0, 1.0)
