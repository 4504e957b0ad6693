"""Ridge regression in closed form against its definition, and its mirror symmetry."""

import numpy as np
import pytest

from jax_inversion.regression import ridge
from jax_inversion.survey import mirror_gathers, mirror_velocity

COUNT = 12


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((COUNT, 2, 5, 4)).astype(np.float32)
    log_velocity = (0.1 * rng.standard_normal((COUNT, 3, 6)) + 1).astype(np.float32)
    arrays, points = ridge.project(inputs)
    return inputs, log_velocity, arrays, points


def fit(data, kernel, rows=slice(None), penalty=0.3):
    _, log_velocity, arrays, points = data
    return ridge.fit(kernel, points[rows], arrays["signs"], log_velocity[rows], penalty)


def test_the_projection_keeps_distances_and_flips_odd_components_in_the_mirror(data):
    inputs, _, arrays, points = data
    mirrored = ridge.components(arrays, mirror_gathers(inputs))
    np.testing.assert_allclose(mirrored, points * arrays["signs"], atol=2e-3)
    flat = inputs.reshape(COUNT, -1)
    np.testing.assert_allclose(
        ((points[0] - points[1]) ** 2).sum(), ((flat[0] - flat[1]) ** 2).sum(), rtol=5e-3
    )  # half precision


def test_linear_is_ridge_regression_on_the_samples_and_their_mirrors(data):
    inputs, log_velocity, _, _ = data
    fitted, _ = fit(data, "linear", penalty=0.3)
    both_x = np.concatenate([inputs, mirror_gathers(inputs)]).reshape(2 * COUNT, -1).astype(np.float64)
    both_y = np.concatenate([log_velocity, mirror_velocity(log_velocity)]).reshape(2 * COUNT, -1)
    x, y = both_x - both_x.mean(0), both_y - both_y.mean(0)
    penalty = 0.3 * (x[:COUNT] ** 2).sum(1).mean()
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    expected = np.exp((x[:COUNT] @ weights + both_y.mean(0)).reshape(log_velocity.shape))
    found = ridge.apply("linear", fitted, data[3], data[2]["signs"])
    np.testing.assert_allclose(found, expected, rtol=5e-3)


@pytest.mark.parametrize("kernel", ridge.KERNELS)
def test_predictions_are_mirror_equivariant(data, kernel):
    _, _, arrays, points = data
    fitted, _ = fit(data, kernel)
    there = ridge.apply(kernel, fitted, points[:3], arrays["signs"])
    back = ridge.apply(kernel, fitted, points[:3] * arrays["signs"], arrays["signs"])
    np.testing.assert_allclose(mirror_velocity(back), there, rtol=1e-4)


@pytest.mark.parametrize("kernel", ridge.KERNELS)
def test_left_out_predictions_do_not_see_their_own_target(data, kernel):
    _, log_velocity, arrays, points = data
    _, left_out = fit(data, kernel)
    changed = log_velocity.copy()
    changed[0] += 1.0
    _, after = ridge.fit(kernel, points, arrays["signs"], changed, 0.3)
    # the mean of all targets moves by a twelfth of the change; nothing else lets sample 0 into its own prediction
    moved = np.abs(np.log(after[0] / left_out[0])).max()
    others = np.abs(np.log(after[1:] / left_out[1:])).max()
    assert moved < 3.0 / COUNT and others > 0


def test_features_are_averages_of_compressed_amplitudes():
    gathers = np.zeros((1, 1, 5, 1), np.float32)
    gathers[0, 0, 2:4] = [[1.0], [3.0]]
    found = ridge.features(gathers, 0.1, 0.2, 2.0)
    wanted = (np.arcsinh(0.2 * ridge.GAIN / 2) + np.arcsinh(3 * 0.3 * ridge.GAIN / 2)) / 2
    np.testing.assert_allclose(found[0, 0, :, 0], [0, wanted], rtol=1e-6)
