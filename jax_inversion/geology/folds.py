"""Smooth random curves: the shapes of sea floors and of folded strata."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_WAVES = 4


def undulation(
    key: jax.Array, x_m: Float[Array, "x 1"], shortest_m: float, longest_m: float, tilt: float = 0.5
) -> Float[Array, "x 1"]:
    """A gentle curve with mean 0 and a height of 1 between its lowest and its highest point.

    A sum of four sinusoids, log-uniform in wavelength with amplitudes proportional to it, and a tilt: a straight line
    that rises by up to ``tilt`` in either direction while the waves rise by 1.
    """
    shares = jax.random.uniform(key, (4, _WAVES))
    wavelength_m = shortest_m * (longest_m / shortest_m) ** shares[:1]
    phase = 2 * jnp.pi * shares[1:2]
    size = (2 * shares[2:3] - 1) * wavelength_m
    waves = jnp.sum(size * jnp.sin(2 * jnp.pi * x_m / wavelength_m + phase), axis=1, keepdims=True)
    along = x_m / jnp.maximum(x_m[-1, 0], 1.0) - 0.5
    slope = tilt * (2 * shares[3, 0] - 1)
    return _unit_height(_unit_height(waves) + slope * along)


def unfold(
    z_m: Float[Array, "#x depth"],
    top_m: Float[Array, "x 1"],
    bottom_m: Float[Array, "x 1"],
    depth_m: float,
) -> Float[Array, "x depth"]:
    """The depth that each point would have were the strata flat, i.e. its stratigraphic coordinate in metres.

    Strata are pushed down by ``top_m`` at depth 0, by ``bottom_m`` at ``depth_m`` and in proportion between, so folds
    may grow, fade or change shape downwards. Increases with depth while the two differ by less than ``depth_m``.
    """
    share = z_m / depth_m
    return z_m - top_m * (1 - share) - bottom_m * share


def _unit_height(curve: Float[Array, "x 1"]) -> Float[Array, "x 1"]:
    height = jnp.max(curve) - jnp.min(curve)
    return (curve - jnp.mean(curve)) / jnp.maximum(height, 1e-6)
