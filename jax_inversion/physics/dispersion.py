"""Exact time: matrices that undo the numerical dispersion of leapfrog while they change the sampling.

Leapfrog with step dt answers at frequency w_n as the true equation does at w = (2 / dt) sin(w_n dt / 2), in any medium.
Giving the source its spectrum at the warped frequencies, and reading the traces there, removes the error: Stork (2013),
doi:10.1190/segam2013-0850.1; Koene et al. (2018), doi:10.1093/gji/ggx480. With ``like_step_s`` the frequencies are
those of leapfrog with *that* step, so that a coarse run reproduces data made with a fine one.
"""

from functools import lru_cache

import numpy as np

TAIL_S = 0.06  # the run goes on this long past the last sample, tapered, so that the traces' end rings in nothing
_BAND = 8.0  # the highest frequency kept, in peak frequencies: a Ricker wavelet is down to 1e-26 there


def steps_needed(duration_s: float, step_s: float, multiple: int = 2) -> int:
    """A multiple of ``multiple`` steps that covers the recording and the tail."""
    return multiple * int(np.ceil((duration_s + TAIL_S) / step_s / multiple))


def _warped(omega: np.ndarray, step_s: float, like_step_s: float) -> np.ndarray:
    """Frequencies at which leapfrog with ``step_s`` answers as one with ``like_step_s`` (0: exact) does at omega."""
    true = 2 / like_step_s * np.sin(omega * like_step_s / 2) if like_step_s else omega
    return 2 / step_s * np.arcsin(true * step_s / 2)


def _frequencies(duration_s: float, step_s: float, peak_hz: float) -> np.ndarray:
    period_s = 1.25 * (duration_s + TAIL_S)
    highest_hz = min(_BAND * peak_hz, 0.9 / np.pi / step_s)
    return 2 * np.pi * np.arange(int(highest_hz * period_s)) / period_s


@lru_cache(maxsize=8)
def source_matrices(
    nt: int, dt_s: float, steps: int, step_s: float, peak_hz: float, like_step_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """(2F, nt) and (steps, 2F): a wavelet of nt samples becomes its spectrum, this the source terms of the steps."""
    omega = _frequencies(steps * step_s - TAIL_S, step_s, peak_hz)
    warped = _warped(omega, step_s, like_step_s)
    analysis = np.exp(-1j * np.outer(omega, np.arange(nt) * dt_s)) * dt_s
    # The inverse transform runs over the warped axis, whose spacing is not even: d(warped) is the quadrature weight.
    weight = np.gradient(warped) / np.pi
    weight[0] /= 2
    waves = np.exp(1j * np.outer(np.arange(steps) * step_s, warped)) * weight
    return _real_parts(analysis), _real_part_of(waves)


@lru_cache(maxsize=8)
def trace_matrices(
    steps: int, step_s: float, nt: int, dt_s: float, peak_hz: float, like_step_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """(2F, steps) and (nt, 2F): a run's traces become spectra at the warped frequencies, these the survey's samples."""
    duration_s = (nt - 1) * dt_s
    omega = _frequencies(duration_s, step_s, peak_hz)
    warped = _warped(omega, step_s, like_step_s)
    t_s = np.arange(1, steps + 1) * step_s  # a record starts with the field after the first step
    taper = np.where(t_s <= duration_s, 1, np.cos(np.pi / 2 * np.clip((t_s - duration_s) / TAIL_S, 0, 1)) ** 2)
    analysis = np.exp(-1j * np.outer(warped, t_s)) * (taper * step_s)
    return _real_parts(analysis), synthesis(np.arange(nt) * dt_s, duration_s, step_s, peak_hz)


def synthesis(t_s: np.ndarray, duration_s: float, step_s: float, peak_hz: float) -> np.ndarray:
    """(time, 2F): spectra, as ``trace_matrices`` makes them of a run's ``duration_s``, become samples at ``t_s``."""
    omega = _frequencies(duration_s, step_s, peak_hz)
    waves = np.exp(1j * np.outer(t_s, omega)) * (omega[1] / np.pi)
    waves[:, 0] /= 2
    return _real_part_of(waves)


def _real_parts(analysis: np.ndarray) -> np.ndarray:
    """Real and imaginary parts of a complex matrix's products with real vectors, one below the other."""
    return np.concatenate([analysis.real, analysis.imag])


def _real_part_of(waves: np.ndarray) -> np.ndarray:
    """A matrix that takes such parts to the real part of the complex product."""
    return np.concatenate([waves.real, -waves.imag], axis=1)
