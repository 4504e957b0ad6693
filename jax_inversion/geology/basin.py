"""A marine section with the structures that the challenge's family lacks: unconformities, many faults, lenses."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..arrays import Velocity
from ..survey import Survey
from . import axes, draws, faults, folds, marine, sediments

_LENSES = 3


def basin(key: jax.Array, survey: Survey) -> Velocity:
    """Water over two packages of beds, (x, depth) in km/s.

    The lower package was folded and worn off before the upper one lay down on it (an angular unconformity), or both
    are one. Up to four faults, normal and reverse, cut both; lenses along the beds are slower (gas) or faster
    (carbonate, sills) than these; overpressure may slow everything from some depth on. For training that is to meet
    geology of other kinds than its own.
    """
    k_floor, k_faults, k_upper, k_lower, k_surface, k_lenses, k_pressure, k_sizes = jax.random.split(key, 8)
    depth_m = axes.depth_m(survey)
    x_m, z_m = axes.cells_m(survey)
    floor_m, shape = marine.sea_floor(k_floor, survey)
    before_m = z_m - faults.fault_shifts(k_faults, x_m, z_m, depth_m, 0, 4, throw=(-0.04, 0.09), dip_deg=(35.0, 85.0))
    worn_m = floor_m + depth_m * _surface(k_surface, survey)
    lower = jnp.clip((before_m - worn_m) / survey.spacing_m + 0.5, 0.0, 1.0)
    gentle, steep, jump = draws.uniforms(k_sizes, (0.01, 0.08), (0.05, 0.25), (0.0, 0.12))
    rock = jnp.zeros((survey.nx, survey.nz))
    for k_package, share, height, faster in ((k_upper, 1 - lower, gentle, 0.0), (k_lower, lower, steep, jump)):
        k_strata, k_rock = jax.random.split(k_package)
        coordinate_m = _folded(k_strata, survey, before_m, height * shape)
        rock += share * (_package(k_rock, survey, coordinate_m, floor_m) + faster * axes.span_km_s(survey))
    rock += _lenses(k_lenses, survey, before_m, shape * gentle) + _pressure(k_pressure, survey, before_m, floor_m)
    return marine.under_water(jnp.clip(rock, survey.v_min_km_s, survey.v_max_km_s), floor_m, survey)


def _surface(key: jax.Array, survey: Survey) -> Float[Array, "x 1"]:
    """Depth of the unconformity below the sea floor in parts of the section's; in two of five sections below it."""
    k_relief, k_sizes = jax.random.split(key)
    depth_m = axes.depth_m(survey)
    relief = folds.undulation(k_relief, axes.cells_m(survey)[0], 0.1 * depth_m, 0.5 * depth_m, tilt=1.0)
    height, place, chance = draws.uniforms(k_sizes, (0.01, 0.12), (0.1, 0.55), (0.0, 1.0))
    return jnp.where(chance < 0.6, place + height * relief, 2.0)


def _folded(
    key: jax.Array, survey: Survey, z_m: Float[Array, "x depth"], top: Float[Array, "x 1"]
) -> Float[Array, "x depth"]:
    """Stratigraphic coordinate in metres of strata folded as ``top`` (parts of the depth) that change downwards."""
    k_other, k_change = jax.random.split(key)
    depth_m = axes.depth_m(survey)
    other = folds.undulation(k_other, axes.cells_m(survey)[0], 0.12 * depth_m, 0.5 * depth_m, tilt=1.0)
    change = jax.random.uniform(k_change, maxval=0.1)
    return folds.unfold(z_m, depth_m * top, depth_m * (top + change * other), depth_m)


def _package(
    key: jax.Array, survey: Survey, coordinate_m: Float[Array, "x depth"], floor_m: Float[Array, "x 1"]
) -> Float[Array, "x depth"]:
    """Beds from a half to six times as thick as the challenge's, of half to two and a half times the contrast."""
    k_sizes, k_beds, k_trend = jax.random.split(key, 3)
    thickness, contrast = draws.uniforms(k_sizes, (-1.0, 2.6), (-1.0, 1.3))
    beds = sediments.beds(k_beds, survey, coordinate_m, 0.0046 * 2.0**thickness, 0.04 * 2.0**contrast)
    return beds + sediments.trend(k_trend, survey, coordinate_m, floor_m, spread=1.8)


def _lenses(
    key: jax.Array, survey: Survey, z_m: Float[Array, "x depth"], top: Float[Array, "x 1"]
) -> Float[Array, "x depth"]:
    """What up to three lenses along the beds add, in km/s."""
    depth_m, width_m = axes.depth_m(survey), survey.nx * survey.spacing_m
    x_m, _ = axes.cells_m(survey)
    along_m = z_m - depth_m * top
    added = jnp.zeros((survey.nx, survey.nz))
    for k_lens in jax.random.split(key, _LENSES):
        across, down, half_x, half_z, speed, chance = draws.uniforms(
            k_lens, (0.0, 1.0), (0.2, 0.9), (0.15, 0.8), (0.005, 0.03), (-0.2, 0.3), (0.0, 1.0)
        )
        radius = jnp.hypot(
            (x_m - across * width_m) / (half_x * width_m), (along_m - down * depth_m) / (half_z * depth_m)
        )
        inside = jnp.clip((1 - radius) * half_z * depth_m / survey.spacing_m + 0.5, 0.0, 1.0)
        added += jnp.where(chance < 0.4, inside * speed * axes.span_km_s(survey), 0.0)
    return added


def _pressure(
    key: jax.Array, survey: Survey, z_m: Float[Array, "x depth"], floor_m: Float[Array, "x 1"]
) -> Float[Array, "x depth"]:
    """By how many km/s overpressure slows what lies deeper than its top (zero in two of three sections)."""
    down, thickness, drop, chance = draws.uniforms(key, (0.15, 0.6), (0.005, 0.05), (0.03, 0.15), (0.0, 1.0))
    depth_m = axes.depth_m(survey)
    below = jax.nn.sigmoid((z_m - floor_m - down * depth_m) / (thickness * depth_m))
    return jnp.where(chance < 1 / 3, -drop * axes.span_km_s(survey) * below, 0.0)
