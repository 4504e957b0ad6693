"""Maps between depth and two-way time: exact for layers, there and back, gradients, bounds of what is covered."""

import jax
import jax.numpy as jnp
import numpy as np

from jax_inversion.models import time_depth

DZ_M, DT_S = 5.0, 0.008
to_depth = jax.jit(time_depth.to_depth, static_argnums=(1, 2, 3))
to_time = jax.jit(time_depth.to_time, static_argnums=(1, 2, 3))


def test_layers_come_out_where_they_are():
    # 3 intervals of 1.5 km/s (18 m), then 2.5 km/s: cells of 6 m are cut nowhere, cells of 5 m once
    velocity = jnp.array([1.5, 1.5, 1.5, 2.5, 2.5])
    np.testing.assert_allclose(to_depth(velocity, DT_S, 6.0, 6), [1.5, 1.5, 1.5, 2.5, 2.5, 2.5], rtol=1e-6)
    np.testing.assert_allclose(to_depth(velocity, DT_S, 5.0, 4), [1.5, 1.5, 1.5, 1.5 * 0.6 + 2.5 * 0.4], rtol=1e-6)


def test_time_of_layers_and_what_the_model_covers():
    # 12 m of 1.5 km/s are two intervals, 5 m of 2.5 km/s are 4 ms: half of the third
    means, cover = to_time(jnp.array([1.5, 1.5, 2.5]), 6.0, DT_S, 4)
    np.testing.assert_allclose(jnp.exp(means), [1.5, 1.5, 2.5, 2.5], rtol=1e-6)
    np.testing.assert_allclose(cover, [1.0, 1.0, 0.6, 0.0], atol=1e-6)


def test_there_and_back_on_a_finer_axis_is_the_model():
    velocity = 1.5 + 3 * jax.random.uniform(jax.random.key(0), (2, 3, 20))
    means, _ = to_time(velocity, DZ_M, 1e-4, 1400)
    back = to_depth(jnp.exp(means), 1e-4, DZ_M, 20)
    np.testing.assert_allclose(back, velocity, rtol=0.02)


def test_depth_is_conserved_whatever_the_output_cells():
    velocity = 1.5 + 3 * jax.random.uniform(jax.random.key(1), (40,))
    fine, coarse = to_depth(velocity, DT_S, 1.0, 400), to_depth(velocity, DT_S, 5.0, 80)
    np.testing.assert_allclose(fine.reshape(80, 5).mean(1), coarse, rtol=1e-4)


def test_gradient_is_that_of_finite_differences():
    key, toward = jax.random.split(jax.random.key(2))
    velocity = 1.5 + 3 * jax.random.uniform(key, (30,))
    direction = jax.random.normal(toward, (30,))
    weights = jnp.arange(20.0) / 20

    def weighted(v):
        return to_depth(v, DT_S, DZ_M, 20) @ weights

    slope = jax.grad(weighted)(velocity) @ direction
    step = 1e-3
    difference = (weighted(velocity + step * direction) - weighted(velocity - step * direction)) / (2 * step)
    np.testing.assert_allclose(slope, difference, rtol=0.02)


def test_a_stretched_model_keeps_the_two_way_times_of_its_cells():
    # the upper half twice as fast, so twice as thick: what lay below it is below the last cell
    velocity, twice = jnp.array([1.5, 2.0, 3.0, 2.5]), jnp.log(2.0) * jnp.array([1.0, 1.0, 0.0, 0.0])
    np.testing.assert_allclose(time_depth.stretched(velocity, twice), [3.0, 3.0, 4.0, 4.0], rtol=1e-6)
    np.testing.assert_allclose(time_depth.stretched(velocity, -twice), [0.875, 3.0, 2.5, 2.5], rtol=1e-6)

    np.testing.assert_allclose(time_depth.stretched(velocity, 0 * twice), velocity, rtol=1e-6)
