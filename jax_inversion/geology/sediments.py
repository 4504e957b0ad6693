"""The velocity of sedimentary rock: random beds about a trend that rises with depth."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..survey import Survey
from . import axes, draws, strata


def beds(
    key: jax.Array,
    survey: Survey,
    coordinate_m: Float[Array, "x depth"],
    least_median: float | Float[Array, ""] = 0.0046,
    contrast: float | Float[Array, ""] = 0.04,
) -> Float[Array, "x depth"]:
    """What the beds add to the trend, in km/s.

    The median thickness is 1 to 2.2 times ``least_median`` of the section's depth, the standard deviation 1 to 1.75
    times ``contrast`` of the survey's range of velocity.
    """
    k_tops, k_contrast, k_sizes = jax.random.split(key, 3)
    depth_m = axes.depth_m(survey)
    start_m, stop_m = -0.3 * depth_m, 1.3 * depth_m
    stretch, size = draws.uniforms(k_sizes, (0.0, 1.0), (1.0, 1.75))
    median_m = depth_m * least_median * 2.2**stretch
    size_km_s = axes.span_km_s(survey) * contrast * size
    tops_m = strata.bed_tops(k_tops, start_m, median_m)
    contrasts = size_km_s * strata.bed_contrasts(k_contrast)
    return strata.paint(coordinate_m, tops_m, contrasts, survey.spacing_m, start_m, stop_m)


def trend(
    key: jax.Array,
    survey: Survey,
    coordinate_m: Float[Array, "x depth"],
    floor_m: Float[Array, "x 1"],
    spread: float = 1.0,
) -> Float[Array, "x depth"]:
    """Velocity rising with depth: linearly along the strata, and faster where fresh mud compacts at the sea floor.

    ``spread`` times as far from the mean trend as the challenge's family goes, at the bottom and in between.
    """
    k_shares, k_bottom = jax.random.split(key)
    depth_m, span_km_s = axes.depth_m(survey), axes.span_km_s(survey)
    _, z_m = axes.cells_m(survey)
    start, thickness, root, bend = draws.uniforms(k_shares, (0.01, 0.2), (0.03, 0.08), (0.0, 1.0), (-0.45, 0.6))
    top = survey.v_min_km_s + span_km_s * start
    bottom = survey.v_min_km_s + span_km_s * (0.87 + 0.09 * spread * jax.random.normal(k_bottom))
    mud = span_km_s * 0.12 * root**2
    scale_m = thickness * depth_m
    mean_m = jnp.mean(floor_m)
    gradient = (bottom - top - mud) / (depth_m - mean_m)
    compaction = mud * (1 - jnp.exp(-jnp.maximum(z_m - floor_m, 0.0) / scale_m))
    share = jnp.clip((coordinate_m - mean_m) / (depth_m - mean_m), 0.0, 1.0)
    bow = span_km_s * spread * bend * share * (1 - share)
    return top + gradient * (coordinate_m - mean_m) + bow + compaction
