"""The preset that resembles the challenge's family: water over a sea floor in relief, folded thin beds, some faults."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..arrays import Velocity
from ..survey import Survey
from . import axes, draws, faults, folds, sediments


def marine(key: jax.Array, survey: Survey) -> Velocity:
    """One marine section, (x, depth) in km/s.

    Lengths are fractions of the section's depth and velocities of the survey's range, chosen to meet the published
    statistics of the challenge (mean 2.78, standard deviation 0.93, median 2.93 km/s) and the look of its family.
    """
    return _section(key, survey)


def varied(key: jax.Array, survey: Survey) -> Velocity:
    """A marine section of a wider family, (x, depth) in km/s: beds from a half to four times as thick, of half to twice
    the contrast, about trends that bend and end further from the mean. For training that is to meet other geologies.
    """
    k_section, k_sizes = jax.random.split(key)
    thickness, contrast = draws.uniforms(k_sizes, (-1.0, 2.0), (-1.0, 1.0))
    return _section(k_section, survey, 2.0**thickness, 2.0**contrast, trend_spread=1.8)


def _section(
    key: jax.Array,
    survey: Survey,
    thickness: float | Float[Array, ""] = 1.0,
    contrast: float | Float[Array, ""] = 1.0,
    trend_spread: float = 1.0,
) -> Velocity:
    """Water over rock whose beds have ``thickness`` and ``contrast`` times those of the challenge's family."""
    k_floor, k_strata, k_beds, k_trend = jax.random.split(key, 4)
    floor_m, shape = sea_floor(k_floor, survey)
    coordinate_m = structure(k_strata, survey, shape)
    rock = sediments.beds(k_beds, survey, coordinate_m, 0.0046 * thickness, 0.04 * contrast)
    rock += sediments.trend(k_trend, survey, coordinate_m, floor_m, trend_spread)
    return under_water(jnp.clip(rock, survey.v_min_km_s, survey.v_max_km_s), floor_m, survey)


def under_water(rock: Float[Array, "x depth"], floor_m: Float[Array, "x 1"], survey: Survey) -> Float[Array, "x depth"]:
    """Water (the survey's lowest velocity) above the sea floor; the cell that it cuts gets the mean of both."""
    _, z_m = axes.cells_m(survey)
    water = jnp.clip((floor_m - z_m) / survey.spacing_m + 0.5, 0.0, 1.0)
    wet = survey.v_min_km_s * water + rock * (1 - water)
    return jnp.clip(wet, survey.v_min_km_s, survey.v_max_km_s)  # rounding may leave the range by a last digit


def sea_floor(key: jax.Array, survey: Survey) -> tuple[Float[Array, "x 1"], Float[Array, "x 1"]]:
    """Depth of the sea floor, and the unit shape of the folds below, which the floor follows in part."""
    k_own, k_folds, k_sizes = jax.random.split(key, 3)
    depth_m = axes.depth_m(survey)
    x_m, _ = axes.cells_m(survey)
    shape = folds.undulation(k_folds, x_m, 0.08 * depth_m, 0.4 * depth_m, tilt=0.8)
    own = folds.undulation(k_own, x_m, 0.15 * depth_m, 0.5 * depth_m, tilt=1.0)
    share, height, place = draws.uniforms(k_sizes, (0.0, 1.0), (0.028, 0.105), (0.0, 1.0))
    relief_m = height * depth_m * (share * shape + (1 - share) * own)
    # The mean depth is drawn from where it keeps the whole floor within the family's 70 to 390 of 1259 m.
    low_m, high_m = 0.056 * depth_m - jnp.min(relief_m), 0.31 * depth_m - jnp.max(relief_m)
    return relief_m + low_m + place * (high_m - low_m), shape


def structure(key: jax.Array, survey: Survey, shape: Float[Array, "x 1"]) -> Float[Array, "x depth"]:
    """Stratigraphic coordinate in metres: folds of changing height, and none, one or (rarely) two faults."""
    k_other, k_sizes, k_first, k_second = jax.random.split(key, 4)
    depth_m = axes.depth_m(survey)
    x_m, z_m = axes.cells_m(survey)
    other = folds.undulation(k_other, x_m, 0.12 * depth_m, 0.5 * depth_m, tilt=1.0)
    height, change, chance = draws.uniforms(k_sizes, (0.01, 0.09), (0.0, 0.07), (0.0, 1.0))
    top_m = height * depth_m * shape
    bottom_m = top_m + change * depth_m * other
    shift_m = faults.fault_shift(k_first, x_m, z_m, depth_m, chance < 0.35)
    shift_m += faults.fault_shift(k_second, x_m, z_m, depth_m, chance < 0.06)
    return folds.unfold(z_m - shift_m, top_m, bottom_m, depth_m)
