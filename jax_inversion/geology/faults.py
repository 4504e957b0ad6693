"""Straight dipping faults: rock on one side slid down along a plane."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from . import draws

NORMAL = (0.016, 0.065)  # throw in parts of the section's depth; a reverse fault's is negative
STEEP = (52.0, 80.0)


def fault_shift(
    key: jax.Array,
    x_m: Float[Array, "x 1"],
    z_m: Float[Array, "1 depth"],
    depth_m: float,
    present: jax.Array,
    throw: tuple[float, float] = NORMAL,
    dip_deg: tuple[float, float] = STEEP,
) -> Float[Array, "x depth"]:
    """Metres by which one normal fault has lowered each point; 0 everywhere unless ``present``.

    The plane crosses the section somewhere in its width at mid depth, dips either way by ``dip_deg``, and its upper
    side (the hanging wall) is down by ``throw``, a fraction of the depth, which grows or fades by up to 40 % downwards.
    """
    across, down, dip, coin, size, growth = draws.uniforms(
        key, (0.1, 0.9), (0.3, 0.75), dip_deg, (-1.0, 1.0), throw, (-0.4, 0.4)
    )
    beside_m = jnp.sign(coin) * (x_m - across * x_m[-1, 0])
    above = beside_m > (z_m - down * depth_m) / jnp.tan(jnp.deg2rad(dip))
    slip_m = size * depth_m * (1 + growth * (2 * z_m / depth_m - 1))
    return jnp.where(jnp.logical_and(above, present), slip_m, 0.0)


def fault_shifts(
    key: jax.Array,
    x_m: Float[Array, "x 1"],
    z_m: Float[Array, "1 depth"],
    depth_m: float,
    fewest: int,
    most: int,
    throw: tuple[float, float] = NORMAL,
    dip_deg: tuple[float, float] = STEEP,
) -> Float[Array, "x depth"]:
    """The summed ``fault_shift`` of ``fewest`` to ``most`` (static) independent faults."""
    k_count, k_faults = jax.random.split(key)
    count = jax.random.randint(k_count, (), fewest, most + 1)
    one = jax.vmap(lambda k, present: fault_shift(k, x_m, z_m, depth_m, present, throw, dip_deg))
    return jnp.sum(one(jax.random.split(k_faults, most), jnp.arange(most) < count), axis=0)
