"""Regression in closed form against its definition, with mirror symmetry and without; the median profile."""

import numpy as np
import pytest

from jax_inversion import regression
from jax_inversion.regression import baselines, kernels
from jax_inversion.regression.features import GAIN, components, features, project
from jax_inversion.survey import mirror_gathers, mirror_velocity

COUNT = 12


@pytest.fixture(scope="module")
def samples():
    """Features and logarithms of velocity."""
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((COUNT, 2, 5, 4)).astype(np.float32)
    return inputs, (0.1 * rng.standard_normal((COUNT, 3, 6)) + 1).astype(np.float32)


@pytest.fixture(scope="module", params=[True, False], ids=["mirror", "no mirror"])
def data(request, samples):
    return *samples, *project(samples[0], request.param), request.param


def fit(data, kernel, penalty=0.3, **changed):
    _, log_velocity, arrays, points, mirror = data
    return kernels.fit(kernel, points, arrays["signs"], changed.get("log_velocity", log_velocity), penalty, mirror)


def ridge(x, y, count, penalty):
    """Linear ridge regression from its definition: predictions for the first ``count`` of ``x``."""
    centre, mean = x.mean(0), y.mean(0)
    x, y = x - centre, y - mean
    penalty = penalty * (x[:count] ** 2).sum(1).mean()
    return x[:count] @ np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y) + mean


def test_the_projection_keeps_distances(data):
    inputs, _, _, points, _ = data
    flat = inputs.reshape(COUNT, -1)
    np.testing.assert_allclose(
        ((points[0] - points[1]) ** 2).sum(), ((flat[0] - flat[1]) ** 2).sum(), rtol=5e-3
    )  # half precision


def test_components_are_even_or_odd_or_neither(data):
    inputs, _, arrays, points, mirror = data
    if mirror:
        np.testing.assert_allclose(components(arrays, mirror_gathers(inputs)), points * arrays["signs"], atol=2e-3)
    else:
        assert (arrays["signs"] == 0).all()


def test_linear_is_ridge_regression_on_the_samples_and_where_there_is_a_mirror_theirs(data):
    inputs, log_velocity, arrays, points, mirror = data
    x, y = [inputs], [log_velocity]
    if mirror:
        x, y = [inputs, mirror_gathers(inputs)], [log_velocity, mirror_velocity(log_velocity)]
    x, y = (np.concatenate(a).reshape(len(a) * COUNT, -1).astype(np.float64) for a in (x, y))
    fitted, _ = fit(data, "linear")
    found = kernels.apply("linear", fitted, points, points, arrays["signs"])
    expected = np.exp(ridge(x, y, COUNT, 0.3)).reshape(found.shape)
    np.testing.assert_allclose(found, expected, rtol=5e-3)


@pytest.mark.parametrize("kernel", kernels.KERNELS)
def test_predictions_are_mirror_equivariant(samples, kernel):
    data = *samples, *project(samples[0], True), True
    arrays, points = data[2:4]
    fitted, _ = fit(data, kernel)
    there = kernels.apply(kernel, fitted, points, points[:3], arrays["signs"])
    back = kernels.apply(kernel, fitted, points, points[:3] * arrays["signs"], arrays["signs"])
    np.testing.assert_allclose(mirror_velocity(back), there, rtol=1e-4)


def test_without_a_mirror_symmetric_gathers_may_come_from_models_that_are_not(samples):
    inputs = samples[0] + mirror_gathers(samples[0])
    log_velocity = 1 + 0.1 * inputs[:, 0, :3]
    errors = []
    for mirror in (True, False):
        arrays, points = project(inputs, mirror)
        fitted, _ = kernels.fit("linear", points, arrays["signs"], log_velocity, 1e-3, mirror)
        found = np.log(kernels.apply("linear", fitted, points, points, arrays["signs"]))
        errors.append(np.abs(found - log_velocity).max())
    assert errors[1] < 0.01 < 0.1 < errors[0]


@pytest.mark.parametrize("kernel", kernels.KERNELS)
def test_left_out_predictions_are_those_of_a_regression_without_the_sample(data, kernel):
    """Up to the mean of the targets and the kernel's scale, which are taken from all samples."""
    _, log_velocity, arrays, points, mirror = data
    log_velocity = log_velocity - kernels.part(log_velocity.mean(0), mirror_velocity, kernels.mirror_signs(mirror)[0])
    fitted, left_out = fit(data, kernel, log_velocity=log_velocity)
    rest, scale = np.arange(COUNT) != 3, fitted["scale"]
    x, without = points[rest], log_velocity[rest]
    gram = [kernels.gram_matrix(kernel, x, b, scale) for b in (x, x * arrays["signs"])]
    own = [kernels.gram_matrix(kernel, points[3:4], b, scale) for b in (x, x * arrays["signs"])]
    expected = 0
    for sign in kernels.mirror_signs(mirror):
        target = kernels.part(without, mirror_velocity, sign).reshape(COUNT - 1, -1)
        matrix = (gram[0] + sign * gram[1]).astype(np.float64) + 0.3 * np.eye(COUNT - 1)
        expected = expected + (own[0] + sign * own[1]) @ np.linalg.solve(matrix, target)
    np.testing.assert_allclose(np.log(left_out[3]).ravel(), expected[0], atol=2e-4)


def test_samples_that_are_all_alike_predict_their_mean():
    inputs = np.ones((3, 2, 5, 4), np.float32)
    log_velocity = np.full((3, 2, 2), 1.0, np.float32)
    for mirror in (True, False):
        for kernel in kernels.KERNELS:
            arrays, points = project(inputs, mirror)
            fitted, left_out = kernels.fit(kernel, points, arrays["signs"], log_velocity, 0.3, mirror)
            found = kernels.apply(kernel, fitted, points, points, arrays["signs"])
            np.testing.assert_allclose([left_out, found], np.e, rtol=1e-5)


def test_features_are_averages_of_compressed_amplitudes_or_of_amplitudes():
    gathers = np.zeros((1, 1, 5, 1), np.float32)
    gathers[0, 0, 2:4] = [[1.0], [3.0]]
    found = features(gathers, 0.1, 0.2, GAIN / 2.0)
    wanted = (np.arcsinh(0.2 * GAIN / 2) + np.arcsinh(3 * 0.3 * GAIN / 2)) / 2
    np.testing.assert_allclose(found[0, 0, :, 0], [0, wanted], rtol=1e-6)
    np.testing.assert_allclose(features(gathers, 0.1, 0.2, 0.0)[0, 0, :, 0], [0, 2])
    assert found.dtype == np.float32


def test_the_profile_is_the_median_of_chosen_models_and_columns():
    models = np.random.default_rng(0).uniform(1.5, 4.5, (5, 4, 150)).astype(np.float32)
    rows = np.array([0, 2, 3])
    np.testing.assert_allclose(baselines.median_profile(models, rows), np.median(models[rows], axis=(0, 1)))


def test_predictions_from_gathers_by_every_baseline():
    rng = np.random.default_rng(0)
    gathers = rng.standard_normal((6, 2, 21, 4)).astype(np.float32)
    velocity = rng.uniform(1.5, 4.5, (6, 8, 10)).astype(np.float32)
    settings = regression.BaseConfig(regression="kernel", dt_s=8e-3)
    arrays = baselines.settings_arrays(settings, 4e-3, 1.0)
    inputs = features(gathers, 4e-3, 8e-3, float(arrays["gain"]))
    arrays |= {"profile": baselines.median_profile(velocity, np.arange(6))}
    arrays |= baselines.fit(settings, inputs, np.log(velocity[:, ::2, ::2]), mirror=True, kernel=True).arrays
    assert regression.fitted(arrays) == tuple(regression.TITLES) and regression.fitted({}) == ()
    for name in regression.fitted(arrays):
        found = regression.predict(arrays, name, gathers[:2], (8, 10))
        assert found.shape == (2, 8, 10) and found.dtype == np.float32 and 1.5 < found.min() < found.max() < 4.5
        assert (np.ptp(found, axis=1).max() == 0) == (name == "profile")
    np.testing.assert_array_equal(regression.predict(arrays, "profile", gathers[:1], (3, 10))[0, 2], arrays["profile"])
