"""How recorded gathers differ from simulated ones: one gain with its sign, one delay, and what is left."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy  # scipy.interpolate comes when it is first used
from scipy import fft

from ..arrays import Gathers

SEARCH_S = 0.2  # delays looked for: three periods of the challenge's wavelet either way
STEPS = 8  # of Gauss-Newton at most; three do from the nearest sample


@dataclass(frozen=True)
class Match:
    """recorded(t) = gain * simulated(t - delay_s), nearly."""

    gain: float
    delay_s: float


@dataclass(frozen=True)
class Simulated:
    """Simulated gathers (shot, time, receiver) that can be taken at any time."""

    gathers: Gathers
    dt_s: float

    @cached_property
    def spline(self) -> "scipy.interpolate.BSpline":
        """Quintic: good to 1e-4 where the fastest period has six samples."""
        return scipy.interpolate.make_interp_spline(self.times_s, np.asarray(self.gathers, np.float64), k=5, axis=1)

    @cached_property
    def times_s(self) -> np.ndarray:
        return np.arange(self.gathers.shape[1]) * self.dt_s

    def delayed(self, delay_s: float, derivative: int = 0) -> np.ndarray:
        """float64 gathers later by ``delay_s``: zero before their first sample, NaN where their end is passed."""
        at = self.times_s - delay_s
        values = self.spline(np.clip(at, 0, self.times_s[-1]), nu=derivative)
        values[:, at < 0] = 0
        values[:, at > self.times_s[-1] + 1e-9] = np.nan
        return values

    def matched(self, match: Match) -> np.ndarray:
        return match.gain * self.delayed(match.delay_s)


def fit(recorded: Gathers, simulated: Simulated) -> Match:
    """Gain and delay of ``recorded`` (shot, time, receiver) by least squares over all its samples.

    The nearest whole sample by cross-correlation, of either sign; from there Gauss-Newton in gain and delay together:
    recorded = a * s(t - d) + b * s'(t - d) gives the gain a and a further delay of -b / a.
    """
    recorded = np.asarray(recorded, np.float64)
    delay_s, gain = _nearest_sample_s(recorded, simulated), 0.0
    for _ in range(STEPS):
        columns = np.stack([simulated.delayed(delay_s, nu) for nu in (0, 1)], axis=-1)
        known = np.isfinite(columns).all(axis=(0, 2, 3))
        A = columns[:, known].reshape(-1, 2)
        gain, slope = np.linalg.solve(A.T @ A, A.T @ recorded[:, known].ravel())
        delay_s -= slope / gain
        if abs(slope / gain) < 1e-5 * simulated.dt_s:
            break
    return Match(float(gain), float(delay_s))


def residuals(recorded: Gathers, expected: Gathers, from_row: int = 0) -> tuple[np.ndarray, float]:
    """Relative L2 difference of each shot, and of all together, from time sample ``from_row`` on.

    Samples where ``expected`` is NaN do not count.
    """
    recorded, expected = (np.asarray(a[:, from_row:], np.float64) for a in (recorded, expected))
    known = np.isfinite(expected)
    error = np.sum((recorded - expected) ** 2, axis=(1, 2), where=known)
    power = np.sum(recorded**2, axis=(1, 2), where=known)
    return np.sqrt(error / power), float(np.sqrt(error.sum() / power.sum()))


def _nearest_sample_s(recorded: np.ndarray, simulated: Simulated) -> float:
    nt = recorded.shape[1]
    length = fft.next_fast_len(2 * nt, real=True)
    pair = recorded, np.asarray(simulated.gathers, np.float64)
    there, here = (np.asarray(fft.rfft(a, length, axis=1)) for a in pair)
    correlation = fft.irfft(np.sum(there * here.conj(), axis=(0, 2)), length)
    most = min(nt - 1, round(SEARCH_S / simulated.dt_s))
    lags = np.arange(-most, most + 1)
    return float(lags[np.argmax(np.abs(correlation[lags]))] * simulated.dt_s)
