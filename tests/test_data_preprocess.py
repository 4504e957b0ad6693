"""Decimation keeps what the new interval can hold, and only that; normalisation has an inverse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jax_inversion.data.preprocess import PreprocessConfig, decimate, denormalise, normalise, scales
from jax_inversion.errors import UserError

DT_S = 1e-4


def _tone(hz, nt=10001, phase=0.3):
    t = np.arange(nt) * DT_S
    return np.sin(2 * np.pi * hz * t + phase)[None, :, None]


@pytest.mark.parametrize(("new_dt_s", "hz"), [(1e-3, 45.0), (1e-3, 390.0), (4e-3, 45.0), (4e-3, 97.0)])
def test_a_tone_in_the_passband_survives_at_its_own_time(new_dt_s, hz):
    step = round(new_dt_s / DT_S)
    kept, true = decimate(_tone(hz), DT_S, new_dt_s), _tone(hz)[:, ::step]
    inside = slice(30, -30)
    assert kept.shape == true.shape and kept.dtype == np.float32
    assert np.abs(kept - true)[:, inside].max() < 0.005


@pytest.mark.parametrize(("new_dt_s", "hz"), [(1e-3, 510.0), (1e-3, 960.0), (4e-3, 126.0), (4e-3, 240.0), (8e-3, 70.0)])
def test_what_would_alias_is_40_db_down(new_dt_s, hz):
    kept = decimate(_tone(hz), DT_S, new_dt_s)[:, 30:-30]
    assert np.abs(kept).max() < 0.01


@pytest.mark.parametrize("new_dt_s", [1e-3, 2e-3, 4e-3])
def test_a_ricker_wavelet_keeps_shape_and_arrival_even_near_the_end(new_dt_s):
    t = np.arange(10001) * DT_S
    r2 = (np.pi * 15.0 * (t[:, None] - np.array([0.1, 0.5, 0.98]))) ** 2
    raw = ((1 - 2 * r2) * np.exp(-r2))[None]
    true = raw[:, :: round(new_dt_s / DT_S)]
    error = decimate(raw, DT_S, new_dt_s) - true
    assert np.linalg.norm(error[..., :2]) < 1e-3 * np.linalg.norm(true[..., :2])
    assert np.linalg.norm(error[..., 2]) < 0.05 * np.linalg.norm(true[..., 2])


@given(st.integers(2, 400), st.integers(1, 12), st.integers(0, 2**31))
def test_shape_linearity_and_straight_lines(nt, step, seed):
    a, b = np.random.default_rng(seed).standard_normal((2, 2, nt, 3)).astype(np.float32)
    line = np.linspace(1.0, 2.0, nt)[:, None]

    def f(x):
        return decimate(x, DT_S, step * DT_S)

    assert f(a).shape == (2, (nt - 1) // step + 1, 3)
    np.testing.assert_allclose(f(2 * a - 3 * b), 2 * f(a) - 3 * f(b), atol=1e-3 * (1 + np.abs(f(a)).max()))
    np.testing.assert_allclose(f(line), line[::step], rtol=1e-4)


def test_zero_phase_means_that_time_reversal_commutes():
    raw = np.random.default_rng(0).standard_normal((1, 8001, 2)).astype(np.float32)
    for cuts, edge in (((0.0, 0.0), 0), ((20.0, 100.0), 60)):
        forward, backward = (decimate(x, DT_S, 4e-3, *cuts)[:, edge : 201 - edge] for x in (raw, raw[:, ::-1]))
        np.testing.assert_allclose(forward, backward[:, ::-1], atol=1e-3 * np.abs(forward).max())


def test_cuts_remove_what_lies_outside_the_band():
    inside = slice(300, 700)
    low, mid, high = (decimate(_tone(hz), DT_S, 1e-3, 10.0, 60.0)[:, inside] for hz in (2.0, 25.0, 200.0))
    assert np.abs(low).max() < 0.01 and np.abs(high).max() < 0.01
    np.testing.assert_allclose(mid, _tone(25.0)[:, ::10][:, inside], atol=0.03)
    only_low = decimate(_tone(25.0), DT_S, 1e-3, low_cut_hz=5.0)[:, inside]
    np.testing.assert_allclose(only_low, _tone(25.0)[:, ::10][:, inside], atol=0.03)


@pytest.mark.parametrize("cuts", [(60.0, 10.0), (0.0, 500.0), (600.0, 0.0), (0.0, 700.0), (-1.0, 10.0)])
def test_impossible_cuts_are_refused(cuts):
    with pytest.raises(UserError, match=r"low_cut_hz.*500 Hz"):
        decimate(_tone(5.0), DT_S, 1e-3, *cuts)


def test_an_interval_off_the_grid_is_refused():
    for wrong in (1.5e-4, 5e-5):
        with pytest.raises(UserError, match="whole multiple"):
            decimate(_tone(5.0), DT_S, wrong)


def test_normalise_by_hand():
    gathers = jnp.array([[[0.2, 0.4], [0.6, 0.8]]])  # one shot, two times, two receivers
    np.testing.assert_allclose(normalise(gathers, 0.2, 0.5, PreprocessConfig()), gathers * 5, rtol=1e-6)
    # t = 2 s at row 1, and row 0 shares its gain
    gained = normalise(gathers, 0.2, 2.0, PreprocessConfig(gain_power=2.0))
    np.testing.assert_allclose(gained, gathers * 5 * 4, rtol=1e-6)
    compressed = normalise(gathers, 0.2, 1.0, PreprocessConfig(arcsinh=3.0))
    np.testing.assert_allclose(compressed, np.arcsinh(15 * gathers) / 3, rtol=1e-6)
    # the standard deviation of {0.2, 0.6} is 0.2
    per_trace = normalise(gathers, 0.2, 1.0, PreprocessConfig(scaling="trace"))
    np.testing.assert_allclose(per_trace, gathers * 5, rtol=1e-6)
    per_shot = normalise(gathers, 0.2, 1.0, PreprocessConfig(scaling="shot"))
    np.testing.assert_allclose(np.std(per_shot), 1.0, rtol=1e-6)


COMBINATIONS = [("global", 0.0, 0.0), ("global", 1.5, 2.0), ("shot", 1.0, 0.0), ("trace", 0.0, 2.0)]


@pytest.mark.parametrize(("scaling", "power", "arcsinh"), COMBINATIONS)
def test_denormalise_is_the_inverse(scaling, power, arcsinh):
    gathers = jax.random.normal(jax.random.key(0), (2, 3, 20, 4)) * 0.015
    settings = PreprocessConfig(scaling=scaling, gain_power=power, arcsinh=arcsinh)
    normalised = jax.jit(lambda g, s: normalise(g, s, 4e-3, settings))(gathers, 0.0155)
    scale = scales(gathers, 0.0155, scaling)
    np.testing.assert_allclose(denormalise(normalised, scale, 4e-3, settings), gathers, rtol=1e-4, atol=1e-6)


def test_a_dead_trace_stays_dead_and_finite():
    gathers = jnp.zeros((1, 8, 2)).at[..., 0].set(jnp.arange(8.0))
    for scaling in ("shot", "trace"):
        out = normalise(gathers, 1.0, 1e-3, PreprocessConfig(scaling=scaling))
        assert np.isfinite(out).all() and (out[..., 1] == 0).all()


def test_an_unknown_scaling_names_the_known():
    with pytest.raises(UserError, match="'global', 'shot' or 'trace'"):
        scales(jnp.ones((1, 2, 2)), 1.0, "station")
