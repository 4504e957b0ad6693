"""What the networks see: the same from a checkpoint's arrays, the residual apart from the scaling."""

import dataclasses

import jax
import numpy as np
import pytest
from physics_tiny import TINY

from jax_inversion.data import inputs
from jax_inversion.data.preprocess import PreprocessConfig
from jax_inversion.errors import UserError

GATHERS = np.random.default_rng(0).normal(size=(3, *TINY.gathers_shape)).astype(np.float32)
BACKGROUND = GATHERS.mean(0)
WHITE = PreprocessConfig(dt_s=4e-3, whiten=True, gain_power=1.0, arcsinh=2.0)


def test_whitened_inputs_come_back_from_their_arrays():
    fitted = inputs.fit(WHITE, TINY, 1.0, GATHERS, BACKGROUND)
    again = inputs.from_arrays(WHITE, TINY, 1.0, fitted.arrays)
    np.testing.assert_array_equal(fitted(GATHERS), again(GATHERS))
    np.testing.assert_allclose(fitted.residual(GATHERS), GATHERS - BACKGROUND, rtol=1e-6)
    both = jax.jit(lambda g: fitted.scaled(fitted.residual(g)))(GATHERS)
    np.testing.assert_allclose(both, fitted(GATHERS), rtol=1e-4, atol=1e-5)
    plain = inputs.fit(PreprocessConfig(dt_s=4e-3, whiten=True, gain_power=1.0), TINY, 1.0, GATHERS, BACKGROUND)
    assert np.std(plain(GATHERS)) == pytest.approx(1, rel=0.1)
    np.testing.assert_allclose(fitted(GATHERS), np.arcsinh(2 * np.asarray(plain(GATHERS))) / 2, rtol=1e-4, atol=1e-5)


def test_without_whitening_nothing_is_fitted():
    plain = inputs.fit(PreprocessConfig(dt_s=4e-3), TINY, 2.0, GATHERS, None)
    assert plain.arrays == {}
    np.testing.assert_array_equal(plain.residual(GATHERS), GATHERS)
    np.testing.assert_allclose(plain(GATHERS), GATHERS / 2, rtol=1e-6)


def test_a_known_wavelet_needs_no_estimate_where_no_background_is_known():
    known = inputs.fit(dataclasses.replace(WHITE, whiten_spectrum="ricker"), TINY, 1.0, GATHERS, None)
    given = inputs.fit(WHITE, TINY, 1.0, GATHERS, np.median(GATHERS, axis=0))  # with a background the Ricker is taken
    np.testing.assert_array_equal(known(GATHERS), given(GATHERS))
    assert np.abs(known(GATHERS) - inputs.fit(WHITE, TINY, 1.0, GATHERS, None)(GATHERS)).max() > 0.1


def test_an_unknown_wavelet_is_estimated_where_the_background_is_known():
    median = np.median(GATHERS, axis=0)
    estimated = inputs.fit(dataclasses.replace(WHITE, whiten_spectrum="estimated"), TINY, 1.0, GATHERS, median)
    np.testing.assert_array_equal(estimated(GATHERS), inputs.fit(WHITE, TINY, 1.0, GATHERS, None)(GATHERS))


def test_settings_that_can_not_act_are_refused():
    with pytest.raises(UserError, match="has no effect on whitened gathers"):
        PreprocessConfig(whiten=True, scaling="trace")
    with pytest.raises(UserError, match="4096 samples"):
        inputs.fit(WHITE, dataclasses.replace(TINY, nt=5000), 1.0, GATHERS, BACKGROUND)
