"""New models from existing ones."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..survey import mirror_velocity


def blend(key: jax.Array, models: Float[Array, "n x depth"]) -> Float[Array, "x depth"]:
    """A weighted mean (x, depth) of ``models`` (n, x, depth), each mirrored laterally or not at random.

    The weights are uniform over all that sum to 1 (a flat Dirichlet distribution). The blend stays within the lowest
    and the highest velocity of the models; give it two or three, for the mean of many is smooth.
    """
    k_weights, k_mirror = jax.random.split(key)
    n = models.shape[0]
    shares = jax.random.exponential(k_weights, (n,))
    weights = shares / jnp.sum(shares)
    mirrored = jnp.where(jax.random.bernoulli(k_mirror, shape=(n, 1, 1)), mirror_velocity(models), models)
    mean = jnp.tensordot(weights, mirrored, axes=1)
    return jnp.clip(mean, jnp.min(models), jnp.max(models))
