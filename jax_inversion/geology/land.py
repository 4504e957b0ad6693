"""Sections without water, each showing one structure: flat layers, folds, faults."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..arrays import Velocity
from ..survey import Survey
from . import axes, draws, faults, folds, sediments


def layered(key: jax.Array, survey: Survey) -> Velocity:
    """Flat beds, thicker than the marine ones, tilted by at most a few degrees; (x, depth) in km/s."""
    k_tilt, k_rock = jax.random.split(key)
    x_m, z_m = axes.cells_m(survey)
    tilt = jax.random.uniform(k_tilt, minval=-0.06, maxval=0.06)
    coordinate_m = z_m - tilt * (x_m - jnp.mean(x_m))
    return _rock(k_rock, survey, coordinate_m, least_median=0.02, contrast=0.08)


def folded(key: jax.Array, survey: Survey) -> Velocity:
    """Strongly folded beds, the folds growing or fading and changing shape with depth; (x, depth) in km/s."""
    k_rock, k_top, k_bottom, k_sizes = jax.random.split(key, 4)
    depth_m = axes.depth_m(survey)
    x_m, z_m = axes.cells_m(survey)
    shape = folds.undulation(k_top, x_m, 0.12 * depth_m, 0.4 * depth_m)
    other = folds.undulation(k_bottom, x_m, 0.12 * depth_m, 0.5 * depth_m, tilt=1.0)
    height, change = draws.uniforms(k_sizes, (0.04, 0.12), (0.04, 0.12))
    top_m = height * depth_m * shape
    bottom_m = top_m + change * depth_m * other
    return _rock(k_rock, survey, folds.unfold(z_m, top_m, bottom_m, depth_m), least_median=0.007)


def faulted(key: jax.Array, survey: Survey) -> Velocity:
    """Gently folded beds cut into blocks by two to five faults; (x, depth) in km/s."""
    k_rock, k_fold, k_faults = jax.random.split(key, 3)
    depth_m = axes.depth_m(survey)
    x_m, z_m = axes.cells_m(survey)
    fold_m = 0.03 * depth_m * folds.undulation(k_fold, x_m, 0.15 * depth_m, 0.5 * depth_m, tilt=1.0)
    shift_m = faults.fault_shifts(k_faults, x_m, z_m, depth_m, fewest=2, most=5)
    return _rock(k_rock, survey, folds.unfold(z_m - shift_m, fold_m, fold_m, depth_m), least_median=0.007)


def _rock(
    key: jax.Array, survey: Survey, coordinate_m: Float[Array, "x depth"], least_median: float, contrast: float = 0.04
) -> Float[Array, "x depth"]:
    """Sediments from the surface downwards, within the survey's range of velocity."""
    k_beds, k_trend = jax.random.split(key)
    surface_m = jnp.zeros((survey.nx, 1))
    rock = sediments.beds(k_beds, survey, coordinate_m, least_median, contrast)
    rock += sediments.trend(k_trend, survey, coordinate_m, surface_m)
    return jnp.clip(rock, survey.v_min_km_s, survey.v_max_km_s)
