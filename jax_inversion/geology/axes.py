"""Where the cells of a section lie, and how deep and wide it is: the lengths that every preset scales with."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..survey import Survey


def cells_m(survey: Survey) -> tuple[Float[Array, "x 1"], Float[Array, "1 depth"]]:
    """Positions of the cell centres in metres, ready to broadcast to (x, depth)."""
    x_m = jnp.arange(survey.nx, dtype=jnp.float32) * survey.spacing_m
    z_m = jnp.arange(survey.nz, dtype=jnp.float32) * survey.spacing_m
    return x_m[:, None], z_m[None, :]


def depth_m(survey: Survey) -> float:
    """Thickness of the section. Presets state their lengths as fractions of it, so any survey gets the same geology."""
    return survey.nz * survey.spacing_m


def span_km_s(survey: Survey) -> float:
    """Width of the survey's range of velocity; contrasts are stated as fractions of it."""
    return survey.v_max_km_s - survey.v_min_km_s
