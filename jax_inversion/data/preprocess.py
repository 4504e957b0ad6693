"""From raw gathers to the network's input: decimation on the host once, amplitude scaling on the device at each use.

Times stay true: row k of every array is at t = k * interval, before and after.
"""

import functools
import math
from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
import scipy  # scipy.signal, which takes a second to import, comes when it is first used
from jaxtyping import Array, Float

from ..arrays import Gathers
from ..errors import UserError
from ..ranges import NonNegative, Positive

STOPBAND_DB = 60.0  # attenuation above the new Nyquist frequency
PASSBAND = 0.8  # of the new Nyquist frequency that passes unchanged
BUTTERWORTH_ORDER = 4
FLOOR = 1e-4  # of the global standard deviation: the least scale that a quiet shot or trace is divided by


@dataclass(frozen=True)
class PreprocessConfig:
    """From raw gathers to the network's input."""

    dt_s: Positive = 1e-3  # interval that gathers are resampled to
    low_cut_hz: NonNegative = 0.0  # frequencies below it are filtered out; 0: no cut
    high_cut_hz: NonNegative = 0.0  # frequencies above it are filtered out; 0: no cut
    scaling: Literal["global", "shot", "trace"] = "global"  # what has unit variance: all data, each shot, each trace
    gain_power: NonNegative = 0.0  # amplitudes times (t / 1 s) ** gain_power
    arcsinh: NonNegative = 0.0  # 0: off; otherwise asinh(arcsinh * a) / arcsinh after scaling and gain
    whiten: bool = False  # the background's response subtracted, the spectrum levelled, one scale for all: whiten.py
    whiten_floor: Positive | Literal["auto"] = 0.03  # of the spectrum's peak: the least that is divided by
    low_pass_hz: Positive = 25.0  # of whitened gathers
    # The wavelet's, to divide by: the survey's Ricker, or estimated from the direct wave in the data. auto: the first
    # where the background is known, else the second
    whiten_spectrum: Literal["auto", "ricker", "estimated"] = "auto"

    def __post_init__(self) -> None:
        if self.whiten and self.scaling != "global":
            raise UserError(f"preprocess.scaling {self.scaling!r} has no effect on whitened gathers; leave it 'global'")


def decimate(
    raw: np.ndarray, dt_s: float, new_dt_s: float, low_cut_hz: float = 0.0, high_cut_hz: float = 0.0
) -> np.ndarray:
    """Resample (..., time, receiver) from every ``dt_s`` to every ``new_dt_s``, a whole multiple; float32.

    Linear and zero-phase: a symmetric Kaiser-windowed sinc, computed at the kept rows only. It is flat to ``PASSBAND``
    and ``STOPBAND_DB`` down from the new Nyquist frequency on. Beyond both ends the data are continued by odd
    reflection, which leaves constants and ramps as they are. Row 0 stays t = 0; there are (nt - 1) // step + 1 rows.
    A cut of 0 is none; otherwise a Butterworth filter runs forwards and backwards over the resampled rows.
    """
    step = round(new_dt_s / dt_s)
    if step < 1 or not math.isclose(step * dt_s, new_dt_s, rel_tol=1e-6):
        raise UserError(f"preprocess.dt_s is {new_dt_s} s; right is a whole multiple of the survey's {dt_s} s")
    kept = np.ascontiguousarray(raw, np.float32)
    if step > 1:
        taps = _low_pass(step)
        edge = [(0, 0)] * kept.ndim
        edge[-2] = (len(taps) // 2, len(taps) // 2)
        padded = np.pad(kept, edge, mode="reflect", reflect_type="odd") if kept.shape[-2] > 1 else np.pad(kept, edge)
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(taps), axis=-2)
        kept = np.matmul(windows[..., ::step, :, :], taps)
    if low_cut_hz or high_cut_hz:
        sections = _band_pass(step * dt_s, low_cut_hz, high_cut_hz)
        period = round(1 / ((low_cut_hz or high_cut_hz) * step * dt_s))  # the filter's memory, in rows
        padding = min(2 * period, kept.shape[-2] - 1)
        kept = scipy.signal.sosfiltfilt(sections, kept, axis=-2, padlen=padding)
    return np.ascontiguousarray(kept, np.float32)


@functools.lru_cache
def _low_pass(step: int) -> np.ndarray:
    taps, beta = scipy.signal.kaiserord(STOPBAND_DB, (1 - PASSBAND) / step)
    window: Any = ("kaiser", beta)  # SciPy's own annotation knows names only
    return np.asarray(scipy.signal.firwin(taps | 1, (1 + PASSBAND) / 2 / step, window=window), np.float32)


@functools.lru_cache
def _band_pass(dt_s: float, low_cut_hz: float, high_cut_hz: float) -> np.ndarray:
    nyquist_hz = 0.5 / dt_s
    if not 0 <= low_cut_hz < (high_cut_hz or nyquist_hz) <= nyquist_hz or high_cut_hz == nyquist_hz:
        raise UserError(
            f"preprocess.low_cut_hz {low_cut_hz:g} and high_cut_hz {high_cut_hz:g}: the low cut must lie below the "
            f"high one, and both below {nyquist_hz:g} Hz, the Nyquist frequency at {dt_s:g} s (0: no cut)"
        )
    if low_cut_hz and high_cut_hz:
        band, kind = [low_cut_hz, high_cut_hz], "bandpass"
    else:
        band, kind = low_cut_hz or high_cut_hz, "highpass" if low_cut_hz else "lowpass"
    return np.asarray(scipy.signal.butter(BUTTERWORTH_ORDER, band, kind, fs=1 / dt_s, output="sos"))


def scales(gathers: Gathers, std: float | Float[Array, ""], scaling: str) -> Float[Array, "*batch s 1 r"]:
    """What ``normalise`` divides by, broadcastable to ``gathers``.

    ``global``: ``std`` everywhere; ``shot`` and ``trace``: the standard deviation of each shot or trace of the sample,
    at least ``FLOOR`` of ``std``, so that a dead trace stays dead.
    """
    if scaling == "global":
        shape, own = (*gathers.shape[:-3], 1, 1, 1), jnp.asarray(std, gathers.dtype)
    elif scaling == "shot":
        shape, own = (*gathers.shape[:-2], 1, 1), jnp.std(gathers, axis=(-2, -1), keepdims=True)
    elif scaling == "trace":
        shape, own = (*gathers.shape[:-2], 1, gathers.shape[-1]), jnp.std(gathers, axis=-2, keepdims=True)
    else:
        raise UserError(f"preprocess.scaling is {scaling!r}; right is 'global', 'shot' or 'trace'")
    return jnp.broadcast_to(jnp.maximum(own, FLOOR * jnp.asarray(std, gathers.dtype)), shape)


def normalise(
    gathers: Gathers,
    std: float | Float[Array, ""],
    dt_s: float,
    settings: PreprocessConfig,
) -> Float[Array, "*batch shot time receiver"]:
    """Divide by ``scales``, multiply by (t / 1 s) ** gain_power, then asinh(arcsinh * a) / arcsinh unless that is 0.

    Jittable; ``dt_s``, the gathers' interval, and ``settings`` are static. Row 0 has the gain of row 1, so that the
    inverse exists.
    """
    scaled = jnp.asarray(gathers) / scales(gathers, std, settings.scaling) * _gain(gathers, dt_s, settings.gain_power)
    return jnp.arcsinh(settings.arcsinh * scaled) / settings.arcsinh if settings.arcsinh else scaled


def denormalise(
    normalised: Gathers,
    scale: Float[Array, "*batch s 1 r"],
    dt_s: float,
    settings: PreprocessConfig,
) -> Gathers:
    """The inverse of ``normalise``; ``scale`` is what ``scales`` gave for the gathers that went in."""
    arcsinh = settings.arcsinh
    scaled = jnp.sinh(arcsinh * normalised) / arcsinh if arcsinh else normalised
    return scaled / _gain(normalised, dt_s, settings.gain_power) * scale


def _gain(gathers: Gathers, dt_s: float, power: float) -> Float[Array, "*ones time 1"]:
    time_s = jnp.maximum(jnp.arange(gathers.shape[-2], dtype=gathers.dtype), 1) * dt_s
    return (time_s**power).reshape((1,) * (gathers.ndim - 2) + (-1, 1))
