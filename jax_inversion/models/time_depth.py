"""Velocity in depth to two-way time and back, exact for layers: means over cells stay means over cells.

A model is layers of constant velocity, in depth cells of ``dz_m`` or in intervals ``dt_s`` of two-way time. Either way
the other coordinate of the layers' edges is a running sum, dz = v dt / 2, and the mean of a quantity over new cells is
its running integral, linear between those edges, taken at the new cells' edges. Both maps are differentiable.
Velocities are in km/s, lengths in m, times in s; all arrays have the vertical axis last.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

M_PER_KM = 1000.0


def to_time(
    velocity: Float[Array, "*columns depth"], dz_m: float, dt_s: float, count: int
) -> tuple[Float[Array, "*columns time"], Float[Array, "*columns time"]]:
    """Means of log velocity over ``count`` intervals of two-way time, and the share of each that the model covers.

    Below its last cell the model goes on as it ends there.
    """
    logarithm = jnp.log(velocity)
    thickness_s = (2 * dz_m / M_PER_KM) / velocity
    means = _cell_means(thickness_s, logarithm, jnp.arange(count + 1, dtype=velocity.dtype) * dt_s)
    bottom_s = thickness_s.sum(-1, keepdims=True)
    start_s = jnp.arange(count, dtype=velocity.dtype) * dt_s
    start_s = start_s.reshape((1,) * (velocity.ndim - 1) + (count,))
    return means, jnp.clip((bottom_s - start_s) / dt_s, 0.0, 1.0)


def to_depth(
    velocity: Float[Array, "*columns time"], dt_s: float, dz_m: float, count: int
) -> Float[Array, "*columns depth"]:
    """Means of velocity over ``count`` cells of ``dz_m``, from velocities in intervals ``dt_s`` of two-way time."""
    thickness_m = velocity * (dt_s / 2 * M_PER_KM)
    return _cell_means(thickness_m, velocity, jnp.arange(count + 1, dtype=velocity.dtype) * dz_m)


def stretched(
    velocity: Float[Array, "*columns depth"], faster: Float[Array, "*columns depth"]
) -> Float[Array, "*columns depth"]:
    """Every cell ``exp(faster)`` times as fast, and as thick, so that its two-way time stays: means over the cells."""
    ratio = jnp.exp(faster)
    return _cell_means(ratio, velocity * ratio, jnp.arange(velocity.shape[-1] + 1, dtype=velocity.dtype))


def _cell_means(
    thickness: Float[Array, "*columns layer"], value: Float[Array, "*columns layer"], edges: Float[Array, " edge"]
) -> Float[Array, "*columns cell"]:
    """Means of ``value`` between neighbouring ``edges``; the last layer has no end."""
    columns = thickness.shape[:-1]
    thickness, value = (a.reshape(-1, a.shape[-1]) for a in (thickness, value))
    integral = jax.vmap(_integral, (0, 0, None))(thickness, value, edges)
    means = (integral[:, 1:] - integral[:, :-1]) / (edges[1:] - edges[:-1])[None]
    return means.reshape(*columns, len(edges) - 1)


def _integral(thickness: Float[Array, " layer"], value: Float[Array, " layer"], at: Float[Array, " edge"]):
    """The integral of ``value`` from the top to ``at``: that over whole layers, and the part of the one that is cut."""
    zero = jnp.zeros(1, value.dtype)
    bottom = jnp.cumsum(thickness)
    top = jnp.concatenate([zero, bottom[:-1]])
    above = jnp.concatenate([zero, jnp.cumsum(thickness * value)[:-1]])
    layer = jnp.minimum(jnp.searchsorted(bottom, at, side="right"), len(thickness) - 1)
    return above[layer] + value[layer] * (at - top[layer])
