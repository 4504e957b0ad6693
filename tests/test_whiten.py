"""Whitening: flat spectrum, zero phase, no wrap-around; floor and wavelet learnt from data."""

import dataclasses

import jax
import numpy as np
import pytest

from jax_inversion.data import whiten
from jax_inversion.errors import UserError
from jax_inversion.physics.wavelet import ricker
from jax_inversion.survey import CHALLENGE

SURVEY = dataclasses.replace(
    CHALLENGE.with_interval(4e-3), source_x_m=(0.0, 299.0), receiver_x_m=(0.0, 150.0, 300.0)
)  # fmt: skip
NO_GAIN = whiten.WhitenSettings(gain_power=0.0)
NOTHING = np.zeros(SURVEY.gathers_shape, np.float32)
TIME_S = np.arange(SURVEY.nt) * SURVEY.dt_s


def reflections(at_s, count=3):
    trace = ricker(TIME_S - at_s, SURVEY.peak_hz).astype(np.float32)
    scales = 1 + np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1)
    return scales * np.broadcast_to(trace[:, None], (count, *SURVEY.gathers_shape))


def test_a_wavelet_becomes_a_short_symmetric_pulse_at_its_own_peak():
    step = whiten.fit(reflections(0.4), SURVEY, NOTHING, NO_GAIN)
    trace = np.asarray(step(reflections(0.4)[0]))[0, :, 0]
    peak = round((0.4 + 1 / SURVEY.peak_hz) / SURVEY.dt_s)
    assert abs(np.argmax(trace) - peak) <= 1
    amplitude = np.abs(np.fft.rfft(trace, 2000))
    frequency_hz = np.fft.rfftfreq(2000, SURVEY.dt_s)
    flat = amplitude[(frequency_hz > 4) & (frequency_hz < 15)]
    assert flat.max() / flat.min() < 1.15  # before: 5


def test_scale_is_the_samples_median_and_the_background_goes():
    gathers = reflections(0.4)
    step = whiten.fit(gathers, SURVEY, NOTHING, NO_GAIN)
    deviations = [np.std(np.asarray(step(g))) for g in gathers]
    np.testing.assert_allclose(np.median(deviations), 1.0, rtol=1e-5)
    assert not np.asarray(dataclasses.replace(step, background=gathers[1])(gathers[1])).any()


def test_it_is_linear_not_circular_and_takes_batches_under_jit():
    step = whiten.fit(reflections(0.4), SURVEY, NOTHING)
    late = np.zeros((2, *SURVEY.gathers_shape), np.float32)
    late[:, :, -1] = 1.0
    out = np.asarray(jax.jit(step.__call__)(late))
    assert np.abs(out[:, :, :10]).max() < 1e-3 * np.abs(out).max()
    np.testing.assert_allclose(out[0], np.asarray(step(late[0])), rtol=1e-4, atol=1e-5)


def test_floor_follows_the_noise():
    gathers = reflections(0.4)
    noise = np.random.default_rng(0).standard_normal(gathers.shape).astype(np.float32)
    floors = [whiten.noise_floor(gathers + level * noise, SURVEY, NOTHING) for level in (0.0, 0.02, 0.04)]
    np.testing.assert_allclose(floors[0], whiten.FLOORS[0], rtol=1e-6)
    np.testing.assert_allclose(floors[2] / floors[1], 2.0, rtol=0.1)
    automatic = whiten.fit(gathers + 0.04 * noise, SURVEY, NOTHING, whiten.WhitenSettings(floor="auto"))
    assert np.isfinite(automatic.operator).all()
    with pytest.raises(UserError, match="whiten_floor is 0"):
        whiten.operator(SURVEY, whiten.wavelet_spectrum(SURVEY), 0.0, 25.0, 1.0)


def test_the_direct_wave_tells_the_spectrum(reference):
    names = [f"receiver_data_src_{k}.npy" for k in (1, 75, 150, 225, 300)]
    folders = sorted(reference.iterdir())
    gathers = [np.stack([np.load(f / name, allow_pickle=False)[::40] for name in names]) for f in folders]
    survey = CHALLENGE.with_interval(4e-3)
    found, known = whiten.estimate_spectrum(np.stack(gathers), survey), whiten.wavelet_spectrum(survey)
    frequency_hz = whiten.frequencies_hz(survey)
    band = (frequency_hz > 6) & (frequency_hz < 28)
    assert np.abs(found - known)[band].max() < 0.1
    low = (frequency_hz > 0.9) & (frequency_hz <= 6)  # whose periods the window does not hold
    ratio = found[low] / known[low]
    assert ratio.min() > 0.75 and ratio.max() < 1.05
