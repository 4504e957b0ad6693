"""What the section adds to the data, with the source's spectrum taken out: a linear step of preprocessing.

Reflections carry as much at 1 Hz, where a 15 Hz Ricker wavelet has 1 % of its peak, as at its peak: velocity that rises
with depth reflects long waves well. Division by the wavelet's amplitude spectrum makes that half of the data visible.
"""

from dataclasses import dataclass
from typing import Literal, cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from scipy import fft, special

from ..arrays import EXACT, Gathers
from ..errors import UserError
from ..survey import Survey

M_PER_KM = 1000.0
FLOORS = (0.01, 1.0)  # between which the floor is estimated
WINDOW_PERIODS = 2.0  # of the wavelet: the direct wave at the nearest receiver lasts so long


@dataclass(frozen=True)
class WhitenSettings:
    """``floor``: the least that is divided by, as a share of the spectrum's peak, "auto" for what the noise before the
    first arrivals asks for. Frequencies above ``low_pass_hz`` are damped by exp(-(f / low_pass_hz)^4 / 2); amplitudes
    grow with time ** ``gain_power``.
    """

    floor: float | Literal["auto"] = 0.03
    low_pass_hz: float = 25.0
    gain_power: float = 1.0


@dataclass(frozen=True, eq=False)
class Whitening:
    """The fitted step, arrays only: called with gathers (*batch, shot, time, receiver), it gives float32 of about unit
    variance. ``operator`` (time, time) acts on each trace's difference to ``background`` (shot, time, receiver).
    """

    operator: Float[np.ndarray, "time time"]
    background: Float[np.ndarray, "shot time receiver"]
    scale: float

    def difference(self, gathers: Gathers) -> Float[Array, "*batch shot time receiver"]:
        """Gathers without the background."""
        background = jnp.asarray(self.background)
        return jnp.asarray(gathers) - background.reshape((1,) * (gathers.ndim - 3) + background.shape)

    def filtered(self, difference: Gathers) -> Float[Array, "*batch shot time receiver"]:
        """Differences to the background, whitened."""
        operator = jnp.asarray(self.operator / np.float32(self.scale))
        return jnp.einsum("ij,...jr->...ir", operator, difference, precision=EXACT)

    def __call__(self, gathers: Gathers) -> Float[Array, "*batch shot time receiver"]:
        return self.filtered(self.difference(gathers))


def fit(
    gathers: Float[np.ndarray, "n shot time receiver"],
    survey: Survey,
    background: Float[np.ndarray, "shot time receiver"],
    settings: WhitenSettings = WhitenSettings(),
    spectrum: Float[np.ndarray, " frequency"] | None = None,
) -> Whitening:
    """Learn floor and scale from training ``gathers``. ``background`` is the response without a section, or the median
    gathers where nobody knows it; ``spectrum`` is the wavelet's, the survey's Ricker where it is not given.

    The scale is the median over samples of each one's standard deviation, so that a few wild samples do not set it.
    """
    if spectrum is None:
        spectrum = wavelet_spectrum(survey)
    floor = settings.floor
    if floor == "auto":
        floor = noise_floor(gathers, survey, background)
    matrix = operator(survey, spectrum, floor, settings.low_pass_hz, settings.gain_power)
    plain = Whitening(matrix, np.asarray(background, np.float32), 1.0)
    deviations = [float(np.std(plain(sample))) for sample in gathers]
    scale = float(np.median(deviations))
    if not scale > 0:
        raise UserError("whitened gathers are zero in half of the samples: the background is all that they hold")
    return Whitening(matrix, plain.background, scale)


def frequencies_hz(survey: Survey) -> Float[np.ndarray, " frequency"]:
    """Where spectra are given: those of a trace padded with zeros to eight times its length or a little more."""
    return np.asarray(fft.rfftfreq(_length(survey), survey.dt_s))


def wavelet_spectrum(survey: Survey) -> Float[np.ndarray, " frequency"]:
    """Amplitude spectrum of the survey's Ricker wavelet, over its peak: (f / f0)^2 exp(1 - (f / f0)^2)."""
    ratio = (frequencies_hz(survey) / survey.peak_hz) ** 2
    return ratio * np.exp(1 - ratio)


def operator(
    survey: Survey, spectrum: Float[np.ndarray, " frequency"], floor: float, low_pass_hz: float, gain_power: float
) -> Float[np.ndarray, "time time"]:
    """The (time, time) matrix, float32: low-pass over the larger of ``spectrum`` and ``floor``, zero phase, then gain.

    Traces are zero before and after the record: the convolution is not circular.
    """
    if not 0 < floor <= 1:
        raise UserError(f"preprocess.whiten_floor is {floor}; right is above 0 and at most 1, or 'auto'")
    response = np.exp(-((frequencies_hz(survey) / low_pass_hz) ** 4) / 2) / np.maximum(spectrum, floor)
    impulse = np.asarray(fft.irfft(response, _length(survey)))
    time = np.arange(survey.nt)
    gain = (np.maximum(time, 1) * survey.dt_s) ** gain_power
    return (gain[:, None] * impulse[np.abs(time[:, None] - time[None, :])]).astype(np.float32)


def estimate_spectrum(
    gathers: Float[np.ndarray, "n shot time receiver"], survey: Survey
) -> Float[np.ndarray, " frequency"]:
    """Amplitude spectrum of an unknown wavelet, over its peak, from the direct wave at the receivers nearest a source.

    The median over samples leaves the direct wave, as reflections differ. Two-dimensional waves spread with the Hankel
    function H0 of distance and frequency, which is divided out where it counts. The window is too short for waves whose
    period is longer; there the spectrum is taken to rise as f^2, as that of a Ricker does, or of any other wavelet that
    is a pulse's second derivative.
    """
    distance_m = _distances_m(survey)
    shot, receiver = np.unravel_index(np.argmin(distance_m), distance_m.shape)
    speed_m_s = survey.v_min_km_s * M_PER_KM
    end = round((distance_m[shot, receiver] / speed_m_s + WINDOW_PERIODS / survey.peak_hz) / survey.dt_s)
    trace = np.median(np.asarray(gathers)[:, shot, :, receiver], axis=0)[: max(end, 2)]
    taper = np.cos(np.linspace(0, np.pi / 2, len(trace))) ** 2
    taper = np.where(np.arange(len(trace)) < len(trace) * 3 // 4, 1.0, taper / taper[len(trace) * 3 // 4])
    amplitude = np.abs(np.asarray(fft.rfft(trace * taper, _length(survey))))
    hz = frequencies_hz(survey)
    wavenumber = 2 * np.pi * hz / speed_m_s
    spreading = np.abs(special.hankel1(0, np.maximum(wavenumber[1:] * distance_m[shot, receiver], 1e-6)))
    amplitude[1:] /= spreading
    first = int(np.searchsorted(hz, 1 / (len(trace) * survey.dt_s)))
    amplitude[:first] = amplitude[first] * (hz[:first] / hz[first]) ** 2
    return amplitude / amplitude.max()


def noise_floor(
    gathers: Float[np.ndarray, "n shot time receiver"],
    survey: Survey,
    background: Float[np.ndarray, "shot time receiver"],
) -> float:
    """Noise before the first arrival over the peak of the section's response, both as amplitude spectra of a trace.

    Noise is taken as white: ``FLOORS`` bound it.
    """
    quiet = before_arrivals(survey)
    difference = np.asarray(gathers) - background
    if quiet.sum() < 2:
        return FLOORS[0]
    noise = np.sqrt(np.mean(np.square(difference[:, quiet])) * survey.nt)
    response = np.sqrt(np.mean(np.abs(np.asarray(fft.rfft(difference, axis=2))) ** 2, axis=(0, 1, 3))).max()
    return float(np.clip(noise / max(response, 1e-30), *FLOORS))


def before_arrivals(survey: Survey) -> Bool[np.ndarray, "shot time receiver"]:
    """Where nothing has arrived yet, however fast the section is."""
    earliest_s = _distances_m(survey) / (survey.v_max_km_s * M_PER_KM)
    return np.arange(survey.nt)[None, :, None] * survey.dt_s < earliest_s[:, None, :]


def _length(survey: Survey) -> int:
    return cast(int, fft.next_fast_len(8 * survey.nt, real=True))  # SciPy's wrapper has lost the type


def _distances_m(survey: Survey) -> Float[np.ndarray, "shot receiver"]:
    offset_m = np.asarray(survey.receiver_x_m)[None, :] - np.asarray(survey.source_x_m)[:, None]
    return np.hypot(offset_m, survey.source_z_m - survey.receiver_z_m)
