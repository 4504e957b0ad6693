"""Values worked by hand on 2 x 3 models: rows are x, columns are depth."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_inversion import losses

TRUE = jnp.array([[2.0, 2.0, 4.0], [2.0, 4.0, 4.0]])
PRED = jnp.array([[1.0, 2.0, 5.0], [2.0, 3.0, 4.0]])
# error: [[-1, 0, 1], [0, -1, 0]]


def test_mape_by_hand():
    # 1/2 + 1/4 + 1/4 over six cells
    assert losses.mape(PRED, TRUE) == pytest.approx(1.0 / 6)


def test_mape_keeps_float64_and_equals_the_mean_of_sample_means():
    rng = np.random.default_rng(0)
    true, pred = rng.uniform(1.5, 4.5, (2, 3, 4, 5))
    each = [np.mean(np.abs(t - p) / (np.abs(t) + 1e-8)) for t, p in zip(true, pred, strict=True)]
    score = losses.mape(pred, true)
    assert score.dtype == np.float64
    assert score == pytest.approx(np.mean(each), rel=1e-14)


def test_l2_by_hand():
    assert losses.l2(PRED, TRUE) == pytest.approx(3.0 / 6)


def test_gradient_by_hand():
    # lateral differences of the error: [1, -1, -1], squares' mean 1; in depth: [[1, 1], [-1, 1]], mean 1
    assert losses.gradient(PRED, TRUE) == pytest.approx(2.0)


def test_gradient_tells_the_axes_apart():
    true = jnp.zeros((2, 3))
    only_lateral = jnp.array([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]])  # lateral: 2, 2, 2; depth: none
    only_depth = jnp.array([[0.0, 2.0, 2.0], [0.0, 2.0, 2.0]])  # lateral: none; depth: 2, 0, 2, 0
    assert losses.gradient(only_lateral, true) == pytest.approx(4.0)
    assert losses.gradient(only_depth, true) == pytest.approx(2.0)


def test_total_variation_by_hand():
    # lateral: |1|, |1|, |-1|, mean 1; depth: |1|, |3|, |1|, |1|, mean 1.5
    assert losses.total_variation(PRED) == pytest.approx(2.5)


def test_physics_by_hand():
    # outside [1.5, 4.5]: 0.5 at the first cell, 0.5 at 5.0, over six cells; velocity never falls
    assert losses.physics(PRED, 1.5, 4.5) == pytest.approx(1.0 / 6)


def test_physics_penalises_a_fall_with_depth_only():
    falls_with_depth = jnp.array([[3.0, 2.0, 4.0], [3.0, 3.0, 3.0]])  # one fall of 1 among four steps
    falls_with_x = jnp.array([[4.0, 4.0, 4.0], [2.0, 2.0, 2.0]])
    assert losses.physics(falls_with_depth, 1.5, 4.5) == pytest.approx(0.25)
    assert losses.physics(falls_with_x, 1.5, 4.5) == 0.0


def test_total_is_the_weighted_sum():
    weights = losses.LossConfig()
    loss, terms = losses.total(PRED, TRUE, weights, 1.5, 4.5)
    assert loss == pytest.approx(1 / 6 + 0.3 * 0.5 + 0.2 * 2.0 + 0.1 * 2.5 + 0.1 / 6)
    assert {k: float(v) for k, v in terms.items()} == pytest.approx(
        {"mape": 1 / 6, "l2": 0.5, "gradient": 2.0, "total_variation": 2.5, "physics": 1 / 6}
    )


def test_a_term_of_weight_zero_is_left_out_but_for_the_mape():
    weights = losses.LossConfig(mape=0.0, l2=2.0, gradient=0.0, total_variation=0.0, physics=0.0)
    loss, terms = losses.total(PRED, TRUE, weights, 1.5, 4.5)
    assert loss == pytest.approx(2 * 0.5) and terms.keys() == {"mape", "l2"}
    slope = jax.make_jaxpr(jax.grad(lambda p: losses.total(p, TRUE, weights, 1.5, 4.5)[0]))(PRED)
    assert "sign" not in str(slope)  # of what is not squared


def test_batches_average_and_gradients_are_finite_at_the_truth():
    weights = losses.LossConfig()
    pred, true = jnp.stack([PRED, TRUE]), jnp.stack([TRUE, TRUE])
    loss, _ = losses.total(pred, true, weights, 1.5, 4.5)
    halves = [losses.total(p, TRUE, weights, 1.5, 4.5)[0] for p in (PRED, TRUE)]
    assert loss == pytest.approx(sum(halves) / 2)
    slope = jax.grad(lambda p: losses.total(p, TRUE, weights, 1.5, 4.5)[0])(TRUE)
    assert np.isfinite(slope).all()
