"""On a GPU, what is computed is what a CPU computes; elsewhere there is nothing to compare, and all is skipped.

JAX_PLATFORMS=cuda,cpu python -m pytest -n 0 tests/test_gpu.py
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from physics_tiny import TINY, model

from jax_inversion import physics
from jax_inversion.models.attention import as_products, attention, cudnn_takes
from jax_inversion.models.convolution import convolve

pytestmark = pytest.mark.skipif(jax.default_backend() == "cpu", reason="JAX has no other device than the CPU")

VELOCITY = model()
simulate = partial(physics.simulate, survey=TINY, spacing_m=20.0, reference=None)


def misfit(velocity):
    return jnp.square(simulate(velocity)).sum()


def largest_difference(function, *arguments) -> float:
    """Between the GPU's result and the CPU's, as a fraction of the largest number."""
    found = []
    for device in (jax.devices()[0], jax.devices("cpu")[0]):
        with jax.default_device(device):
            result = function(*arguments)
        assert result.devices() == {device}
        found.append(np.asarray(result))
    here, there = found
    assert np.abs(there).max() > 0
    return float(np.abs(here - there).max() / np.abs(there).max())


@pytest.mark.parametrize("options", [{}, {"boundary": "cpml"}, {"free_surface": True}], ids=str)
def test_simulated_gathers(options):
    assert largest_difference(partial(simulate, **options), np.stack([VELOCITY, model(1)])) < 1e-5


def test_the_gradient_of_a_misfit():
    """Sums over all steps, whose order is the device's own."""
    assert largest_difference(jax.jit(jax.grad(misfit)), VELOCITY) < 1e-4


def test_members_convolutions():
    """A library's there, matrix products here."""
    rng = np.random.default_rng(0)
    shapes = (3, 2, 20, 9, 4), (3, 3, 3, 4, 8), (3, 7, 7, 4, 8)
    x, *kernels = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
    with jax.default_matmul_precision("highest"):
        assert largest_difference(jax.jit(jax.vmap(convolve)), x, *kernels) < 1e-5


def test_attention_and_its_gradient():
    """cuDNN's in bfloat16 there, products in float32 here: what is between them is bfloat16's two to three digits."""
    inputs = jax.random.normal(jax.random.key(0), (3, 3, 2, 76, 4, 32))  # of three members, as vmap has them

    def loss(attend, dtype, inputs):
        return jnp.square(jax.vmap(attend)(*inputs.astype(dtype)).astype(jnp.float32)).sum()

    assert cudnn_takes(inputs.astype(jnp.bfloat16)[0, 0]) or jax.device_count() > 1
    found = jax.jit(jax.grad(partial(loss, attention, jnp.bfloat16)))(inputs)
    right = jax.jit(jax.grad(partial(loss, as_products, jnp.float32)))(jax.device_put(inputs, jax.devices("cpu")[0]))
    assert np.abs(np.asarray(found) - np.asarray(right)).max() < 0.03 * np.abs(np.asarray(right)).max()
