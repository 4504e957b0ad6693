"""A random pile of beds as a well log, and the painting of a section with it.

A pile is one column of velocity against the stratigraphic coordinate (folds.unfold); drawing it costs nothing beside
looking it up in every cell. Interfaces are averaged over a cell, so the same key shows the same beds at any spacing.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

BEDS = 256


def correlated(key: jax.Array, count: int, correlation: float) -> Float[Array, " {count}"]:
    """A stationary first-order autoregressive series of unit variance, written as one matrix product."""
    lag = jnp.arange(count)[:, None] - jnp.arange(count)[None, :]
    memory = jnp.where(lag >= 0, correlation ** jnp.maximum(lag, 0).astype(jnp.float32), 0.0)
    memory = memory.at[:, 1:].multiply((1 - correlation**2) ** 0.5)
    return memory @ jax.random.normal(key, (count,))


def bed_tops(key: jax.Array, start_m: float, median_m: jax.Array, spread: float = 0.95) -> Float[Array, " beds"]:
    """Tops of the beds in metres: lognormal thicknesses, cut at 2.2 deviations; thin beds come in packages."""
    thickness_m = median_m * jnp.exp(spread * jnp.clip(correlated(key, BEDS, 0.45), -2.2, 2.2))
    return start_m + jnp.cumsum(thickness_m) - thickness_m


def bed_contrasts(key: jax.Array, memory: float = 0.92, streaks: float = 0.55) -> Float[Array, " beds"]:
    """Departure of each bed from the trend, of about unit variance.

    Part of it is shared by neighbours (formations), part is each bed's own with the long tails that make streaks.
    """
    k_shared, k_own = jax.random.split(key)
    own = jax.random.laplace(k_own, (BEDS,)) / 2**0.5
    return (1 - streaks**2) ** 0.5 * correlated(k_shared, BEDS, memory) + streaks * own


def paint(
    coordinate_m: Float[Array, "x depth"],
    tops_m: Float[Array, " beds"],
    values: Float[Array, " beds"],
    spacing_m: float,
    start_m: float,
    stop_m: float,
) -> Float[Array, "x depth"]:
    """The value of the bed in which each cell lies, ramping over one cell at the interfaces.

    ``start_m`` and ``stop_m`` (static) bound the coordinate; beyond them, and beyond the last top, beds continue.
    """
    count = int((stop_m - start_m) / spacing_m) + 2
    edges_m = start_m + spacing_m * (jnp.arange(count + 1, dtype=jnp.float32) - 0.5)
    # Cell averages are differences of the integral of the log, which is linear between the tops.
    at_tops = jnp.concatenate([jnp.zeros(1), jnp.cumsum(values[:-1] * jnp.diff(tops_m))])
    integral = jnp.interp(edges_m, tops_m, at_tops)
    integral += jnp.minimum(edges_m - tops_m[0], 0.0) * values[0] + jnp.maximum(edges_m - tops_m[-1], 0.0) * values[-1]
    log = jnp.diff(integral) / spacing_m
    place = jnp.clip((coordinate_m - start_m) / spacing_m, 0.0, count - 1.001)
    index = place.astype(jnp.int32)
    part = place - index.astype(jnp.float32)
    return log[index] * (1 - part) + log[index + 1] * part
