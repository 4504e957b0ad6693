"""Random changes to one training sample, drawn from its key. Pure and jittable; the caller vmaps over the batch.

A probability or width of zero leaves its step out of the compiled program.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ..ranges import Fraction, NonNegative, Share
from ..start import Start
from ..survey import mirror_gathers, mirror_velocity


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes to training samples, drawn anew for each member, sample and step."""

    mirror: Share = 0.5  # probability
    noise: NonNegative = 0.0  # standard deviation, in units of the data's
    amplitude: Fraction = 0.0  # gains are uniform in 1 -+ this
    shift_s: NonNegative = 0.0  # time shifts of a whole sample, uniform in -+ this
    drop_traces: Fraction = 0.0  # probability of a dead trace


def augment(
    key: PRNGKeyArray,
    gathers: Float[Array, "shot time receiver"],
    velocity: Float[Array, "x depth"],
    std: float | Float[Array, ""],
    dt_s: float,
    settings: AugmentConfig,
    base: Start | None = None,
) -> tuple[Float[Array, "shot time receiver"], Float[Array, "x depth"], Start | None]:
    """Gathers before normalisation, velocity and base of a changed sample; ``settings`` are static.

    The lateral mirror reverses receivers and shots, and x of ``velocity``, and ``base`` too. The noise is white, in
    units of ``std``. A dead trace is zero.
    """
    mirror_key, shift_key, amplitude_key, noise_key, drop_key = jax.random.split(key, 5)
    if settings.mirror:
        flip = jax.random.bernoulli(mirror_key, settings.mirror)
        gathers = jnp.where(flip, mirror_gathers(gathers), gathers)
        velocity = jnp.where(flip, mirror_velocity(velocity), velocity)
        base = None if base is None else jax.tree.map(lambda a, b: jnp.where(flip, a, b), base.mirrored(), base)
    if settings.shift_s:
        delay_s = jax.random.uniform(shift_key, minval=-settings.shift_s, maxval=settings.shift_s)
        gathers = delay(gathers, delay_s / dt_s, math.ceil(settings.shift_s / dt_s))
    if settings.amplitude:
        amplitude = settings.amplitude
        gathers = gathers * jax.random.uniform(amplitude_key, minval=1 - amplitude, maxval=1 + amplitude)
    if settings.noise:
        white = almost_normal(noise_key, gathers.shape).astype(gathers.dtype)
        gathers = gathers + settings.noise * jnp.asarray(std, gathers.dtype) * white
    if settings.drop_traces:
        alive = jax.random.bernoulli(drop_key, 1 - settings.drop_traces, (gathers.shape[0], 1, gathers.shape[2]))
        gathers = jnp.where(alive, gathers, 0.0)
    return gathers, velocity, base


def almost_normal(key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Independent numbers of mean 0 and variance 1, each how many of eight random bits are set: kurtosis 2.75 instead
    of 3, within +-2.9. Four times the bits take three hundredths of the quickstart's step on a CPU, and normal numbers
    made of them another twentieth; whitening, which adds many of these up, leaves no difference.
    """
    count = math.prod(shape)
    words = jax.random.bits(key, (-(-count // 4),), jnp.uint32)  # bytes asked for would each take a word's work
    drawn = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(-1)[:count].reshape(shape)
    return (jax.lax.population_count(drawn).astype(jnp.float32) - 4.0) / math.sqrt(2.0)


def delay(
    gathers: Float[Array, "shot time receiver"], samples: Float[Array, ""], largest: int
) -> Float[Array, "shot time receiver"]:
    """Gathers later by ``samples``, a fractional number within -+ ``largest``; zeros come in at the ends.

    Cubic convolution between samples (Keys 1981, doi:10.1109/TASSP.1981.1163711, a = -1/2): exact for quadratics.
    """
    nt, pad = gathers.shape[1], largest + 2
    whole = jnp.floor(samples)
    f = samples - whole
    padded = jnp.pad(gathers, ((0, 0), (pad, pad), (0, 0)))
    # row k of the result lies between input rows k - whole - 1 and k - whole, a fraction 1 - f of the way
    start = pad - whole.astype(jnp.int32) - 2
    near = jax.lax.dynamic_slice_in_dim(padded, start, nt + 3, axis=1)
    u = 1 - f
    first, *others = (
        ((2 - u) * u - 1) * u / 2,
        ((3 * u - 5) * u * u + 2) / 2,
        ((4 - 3 * u) * u + 1) * u / 2,
        (u - 1) * u * u / 2,
    )
    return sum((w * near[:, i : i + nt] for i, w in enumerate(others, 1)), first * near[:, :nt])
