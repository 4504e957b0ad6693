"""Augmentations, each checked against what it must do to a section's recordings and its model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jax_inversion.data.augment import AugmentConfig, almost_normal, augment, delay
from jax_inversion.start import Start
from jax_inversion.survey import CHALLENGE, mirror_gathers

SHOTS, TIMES, RECEIVERS = 3, 40, 4
KEYS = jax.random.split(jax.random.key(0), 64)


@pytest.fixture(scope="module")
def sample():
    one, two, three = jax.random.split(jax.random.key(1), 3)
    gathers = 0.02 * jax.random.normal(one, (SHOTS, TIMES, RECEIVERS))
    return gathers, jax.random.uniform(two, (6, 5)) + 2, Start(jax.random.uniform(three, (3, 2)) + 2, gathers / 2)


def run(keys, sample, **settings):
    gathers, velocity, base = jax.tree.map(jnp.asarray, sample)
    options = AugmentConfig(**{"mirror": 0.0} | settings)
    changed = jax.jit(jax.vmap(lambda k: augment(k, gathers, velocity, 0.02, 4e-3, options, base)))(keys)
    return jax.tree.map(np.asarray, changed)


def test_nothing_is_changed_by_default(sample):
    jax.tree.map(lambda found, true: np.testing.assert_array_equal(found[0], true), run(KEYS[:1], sample), sample)
    assert augment(KEYS[0], sample[0], sample[1], 0.02, 4e-3, AugmentConfig(mirror=1.0))[2] is None


def test_the_mirror_reverses_model_receivers_and_shot_order(sample):
    gathers, velocity, base = sample
    changed = jax.tree.map(lambda x: x[0], run(KEYS[:1], sample, mirror=1.0))
    mirrored, model, mirrored_base = changed
    for shot in range(SHOTS):
        np.testing.assert_array_equal(mirrored[shot], gathers[SHOTS - 1 - shot][:, ::-1])
    np.testing.assert_array_equal(model, velocity[::-1, :])  # x, never depth
    np.testing.assert_array_equal(mirrored_base.velocity, base.velocity[::-1, :])
    np.testing.assert_array_equal(mirrored_base.gathers, mirrored / 2)
    again = run(KEYS[:1], changed, mirror=1.0)
    jax.tree.map(lambda found, true: np.testing.assert_array_equal(found[0], true), again, sample)


def test_the_mirror_pairs_the_traces_of_equal_offset():
    """A recording that depends on source and receiver positions only mirrors to itself, as over a flat section."""
    source, receiver = np.array(CHALLENGE.source_x_m), np.array(CHALLENGE.receiver_x_m)
    offset_m = np.abs(source[:, None, None] - receiver[None, None, :]) * np.ones((1, 7, 1))
    assert np.abs(mirror_gathers(offset_m) - offset_m).max() <= 2 * CHALLENGE.mirror_error_m
    assert np.abs(offset_m[:, :, ::-1] - offset_m).max() > 250  # receivers alone: another experiment


def test_the_mirror_comes_as_often_as_asked_and_moves_all_or_nothing(sample):
    sample = jax.tree.map(np.asarray, sample)
    gathers, velocity, base = run(KEYS, sample, mirror=0.5)
    flipped = [bool((g == mirror_gathers(sample[0])).all()) for g in gathers]
    assert 16 < sum(flipped) < 48  # 32 expected, 4 standard deviations are 16
    for g, v, b, is_mirrored in zip(gathers, velocity, base.velocity, flipped, strict=True):
        step = -1 if is_mirrored else 1
        np.testing.assert_array_equal(g, sample[0][::step, :, ::step])
        np.testing.assert_array_equal(v, sample[1][::step])
        np.testing.assert_array_equal(b, sample[2].velocity[::step])


def test_counts_of_bits_are_almost_normal_and_independent():
    numbers = np.asarray(almost_normal(jax.random.key(4), (3, 133_333)))  # no whole words
    assert abs(numbers.mean()) < 0.01 and abs(numbers.std() - 1) < 0.01 and abs((numbers**3).mean()) < 0.02
    assert abs((numbers**4).mean() - 2.75) < 0.03 and np.abs(numbers).max() < 2.9
    flat = numbers.ravel()
    assert max(abs((flat[k:] * flat[: len(flat) - k]).mean()) for k in range(1, 9)) < 0.01  # of one word, and the next


def test_noise_is_relative_to_the_standard_deviation_and_new_for_each_key(sample):
    gathers, velocity, _ = run(KEYS, sample, noise=0.1)
    noise = np.asarray(gathers - sample[0][None])
    assert abs(noise.std() / (0.1 * 0.02) - 1) < 0.03 and abs(noise.mean()) < 1e-4
    assert np.abs(np.corrcoef(noise.reshape(64, -1)) - np.eye(64)).max() < 0.25
    np.testing.assert_array_equal(velocity[0], sample[1])


def test_amplitude_is_one_gain_a_sample(sample):
    gathers, _, _ = run(KEYS, sample, amplitude=0.2)
    gains = np.asarray(gathers / sample[0][None]).reshape(64, -1)
    assert np.ptp(gains, axis=1).max() < 1e-5
    assert 0.8 <= gains.min() < 0.85 and 1.15 < gains.max() <= 1.2


def test_dead_traces_are_whole_and_as_frequent_as_asked(sample):
    gathers, _, _ = run(KEYS, sample, drop_traces=0.25)
    dead = np.asarray(gathers == 0)
    whole = dead.all(axis=2)
    np.testing.assert_array_equal(dead.any(axis=2), whole)
    assert abs(whole.mean() - 0.25) < 0.07  # 768 traces: 4 standard deviations are 0.0625


def test_shifts_are_the_same_for_the_whole_sample_and_within_bounds():
    k = jnp.arange(TIMES, dtype=jnp.float32)
    ramp = jnp.broadcast_to(k[None, :, None], (SHOTS, TIMES, RECEIVERS))  # each row holds its own time, in samples
    gathers, _, _ = run(KEYS, (ramp, jnp.ones((6, 5)), Start(jnp.ones((3, 2)))), shift_s=0.01)  # 2.5 samples of 4 ms
    inside = np.asarray(k[None, None, :, None] - gathers)[:, :, 5:-5]
    delays = inside.reshape(64, -1).mean(axis=1)
    assert np.abs(inside - delays[:, None, None, None]).max() < 1e-4
    assert np.abs(delays).max() <= 2.5 and delays.min() < -1.5 and delays.max() > 1.5


@given(st.integers(-3, 3), st.integers(3, 5))
def test_a_whole_shift_moves_rows_and_fills_zeros(samples, largest):
    gathers = np.arange(1.0, 2 * 9 * 2 + 1, dtype=np.float32).reshape(2, 9, 2)
    true = np.zeros_like(gathers)
    to, since = slice(max(samples, 0), 9 + min(samples, 0)), slice(max(-samples, 0), 9 - max(samples, 0))
    true[:, to] = gathers[:, since]
    np.testing.assert_allclose(delay(jnp.asarray(gathers), jnp.float32(samples), largest), true, atol=1e-5)


@pytest.mark.parametrize("samples", [-1.7, -0.5, 0.25, 1.5])
def test_a_fractional_shift_delays_a_45_hz_tone_at_4_ms(samples):
    k = np.arange(200, dtype=np.float32)

    def tone(at):
        return np.sin(2 * np.pi * 45.0 * 4e-3 * at, dtype=np.float32)[None, :, None]

    found = np.asarray(delay(jnp.asarray(tone(k)), jnp.float32(samples), 2))
    assert np.abs(found - tone(k - np.float32(samples)))[:, 5:-5].max() < 0.05


def test_a_key_decides(sample):
    settings = {"mirror": 0.5, "noise": 0.1, "amplitude": 0.1, "shift_s": 0.01, "drop_traces": 0.1}
    one, same, other = run(KEYS[jnp.array([0, 0, 1])], sample, **settings)[0]
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
