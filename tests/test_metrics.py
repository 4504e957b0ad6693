import jax.numpy as jnp
import numpy as np
import pytest

from jax_inversion import losses, metrics

TRUE = np.array([[2.0, 2.0, 4.0], [2.0, 4.0, 4.0]])
PRED = np.array([[1.0, 2.0, 5.0], [2.0, 3.0, 4.0]])


def test_mape_is_the_loss():
    assert metrics.mape is losses.mape


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_errors_by_hand(array):
    assert metrics.mae(array(PRED), array(TRUE)) == pytest.approx(0.5)
    assert metrics.rmse(array(PRED), array(TRUE)) == pytest.approx(0.5**0.5)


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_mape_by_depth_by_hand(array):
    by_depth = metrics.mape_by_depth(array(PRED), array(TRUE))
    np.testing.assert_allclose(by_depth, [0.25, 0.125, 0.125], rtol=1e-6)  # columns: (1/2, 0), (0, 1/4), (1/4, 0)
    assert by_depth.mean() == pytest.approx(metrics.mape(PRED, TRUE))


def test_mape_by_depth_averages_samples():
    pred, true = np.stack([PRED, TRUE]), np.stack([TRUE, TRUE])
    np.testing.assert_allclose(metrics.mape_by_depth(pred, true), [0.125, 0.0625, 0.0625], rtol=1e-6)


def test_ssim_is_one_for_the_truth_and_falls_with_noise():
    rng = np.random.default_rng(0)
    true = rng.uniform(1.5, 4.5, (2, 12, 16))
    noise = rng.normal(size=true.shape)
    scores = [metrics.ssim(true + level * noise, true, 1.5, 4.5) for level in (0.0, 0.2, 1.0)]
    assert scores[0] == pytest.approx(1.0)
    assert 1 > scores[1] > scores[2]


def test_ssim_by_formula_of_constant_models():
    # No variance: what is left is the luminance, (2 a b + c) / (a^2 + b^2 + c) with c = (0.01 * range)^2
    a, b, c = 2.0, 3.0, (0.01 * 3.0) ** 2
    score = metrics.ssim(np.full((8, 8), a), np.full((8, 8), b), 1.5, 4.5)
    assert score == pytest.approx((2 * a * b + c) / (a * a + b * b + c))
