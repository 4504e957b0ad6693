"""Muon: which leaves it has, each member's matrix by itself, a state that goes through a checkpoint."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import serialization
from optax import contrib

from jax_inversion.training.muon import QUINTIC, muon, optimisers_of, orthogonal

PARAMS = {
    "embedding": {"kernel": jnp.ones((6, 4)), "bias": jnp.ones(4)},
    "block_0": {"wide": {"kernel": jnp.ones((4, 8)), "bias": jnp.ones(8)}, "taps": jnp.ones((3, 4))},
    "correction": {"kernel": jnp.ones((4, 2))},
}


def gradients(key):
    leaves, tree = jax.tree.flatten(PARAMS)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(tree, [jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)])


@partial(jax.jit, static_argnums=0)
def update(optimiser, gradient, params):
    with jax.numpy_dtype_promotion("standard"):
        return optimiser.update(gradient, optimiser.init(params), params)


def test_only_matrices_inside_blocks():
    chosen = optimisers_of(PARAMS)
    assert chosen["block_0"]["wide"] == {"kernel": "muon", "bias": "adam"}
    assert set(jax.tree.leaves([chosen["embedding"], chosen["correction"], chosen["block_0"]["taps"]])) == {"adam"}


@pytest.mark.parametrize("shape", [(5, 12), (12, 5), (6, 6)])
def test_polynomials_of_the_gram_matrix_are_the_librarys_steps(shape):
    matrix = jax.random.normal(jax.random.key(3), shape)
    with jax.numpy_dtype_promotion("standard"):
        library, _ = (optimiser := contrib.scale_by_muon((QUINTIC,) * 5)).update(matrix, optimiser.init(matrix))
    np.testing.assert_allclose(orthogonal(matrix), jnp.asarray(library), rtol=1e-3, atol=2e-4)


def test_updates_are_nearly_orthogonal_and_each_members_own():
    optimiser = muon(optax.constant_schedule(1.0), weight_decay=0.0)
    one, two = gradients(jax.random.key(0)), gradients(jax.random.key(1))
    both = jax.tree.map(lambda a, b: jnp.stack([a, b]), one, two)
    members = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), PARAMS)
    together, state = jax.vmap(partial(update, optimiser))(both, members)
    alone, _ = update(optimiser, two, PARAMS)
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(a[1], b, rtol=1e-4, atol=1e-6)
    matrix = alone["block_0"]["wide"]["kernel"]
    singular = np.linalg.svd(matrix, compute_uv=False) / np.sqrt(matrix.shape[1] / matrix.shape[0])
    assert singular.min() > 0.5 and singular.max() < 1.4
    again = serialization.from_state_dict(state, serialization.to_state_dict(jax.device_get(state)))
    assert jax.tree.structure(again) == jax.tree.structure(state)
