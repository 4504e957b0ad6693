"""What is to agree: whitened differences between observed and simulated gathers, band by band."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..arrays import EXACT, Gathers
from ..data import whiten
from ..data.preprocess import PreprocessConfig
from ..physics import SimulatorConfig
from ..survey import Survey

_FLOOR, _GAIN_POWER = 0.03, 1.0  # where the preset says nothing of its own
_LOWEST_HZ = 2.0
# Along a shot's receivers the noise of low frequencies is a parabola: without it 0.25 % is left of the challenge's data
# where 3.7 % were (benchmarks/README.md, "Noise that receivers share").
_SHARED = 3

Operator: TypeAlias = Float[Array, "*sample time time"] | Float[np.ndarray, "*sample time time"]


class Band(NamedTuple):
    """The data up to a frequency: ``operator`` (time, time) whitens each trace and weighs what is noisier less;
    ``shared`` does so with what a shot's receivers have in common, the part of its traces in ``basis``, orthonormal.
    ``precision`` is one over the variance of the noise in each sample of it, ``noise`` its share of the data.
    """

    operator: Operator
    shared: Operator
    basis: Float[Array, "*sample receiver part"] | Float[np.ndarray, "*sample receiver part"]
    precision: Float[Array, "*sample"] | float
    noise: Float[Array, "*sample"] | float


class Observed(NamedTuple):
    """One sample, or several with an axis for them in front of the first two: the prediction that is to be corrected
    (x, depth) km/s, its gathers, decimated, those of the background (or what comes nearest to them: what is more than
    these is the data), and which shots are fitted (1) or held out (0).
    """

    start_km_s: Float[Array, "*sample x depth"] | Float[np.ndarray, "*sample x depth"]
    gathers: Gathers
    background: Gathers
    fitted: Float[Array, " shot"] | Float[np.ndarray, " shot"]


def options(simulator: SimulatorConfig, observed: Observed) -> dict[str, Any]:
    """Keyword arguments of ``simulate``; the background's response among them where the reference run's is known."""
    return simulator.options | ({"background": observed.background} if simulator.has_background else {})


class Misfits(NamedTuple):
    """Root mean square of what is left of the data, over that of the data: in fitted shots and in those held out."""

    fitted: Float[Array, ""] | float
    held_out: Float[Array, ""] | float


@dataclass(frozen=True)
class Counting:
    """How many samples of a band say the same. Both are sampled more finely than waves of its highest frequency need,
    and modelling errors are as correlated as the data.
    """

    survey: Survey
    high_hz: float

    @property
    def alike(self) -> float:
        """Times neighbouring receivers and samples in time that count as one."""
        survey = self.survey
        times = 1 / (2 * self.high_hz * survey.dt_s)
        receivers = survey.v_min_km_s * 1e3 / (2 * self.high_hz) / max(_receiver_step_m(survey), 1e-6)
        return max(times, 1.0) * max(receivers, 1.0)


def band(
    survey: Survey, observed: Observed, settings: PreprocessConfig, high_hz: float, noise: float, corner_hz: float
) -> Band:
    """The band up to ``high_hz`` of a sample whose noise is the share ``noise`` of the data, of its own in each trace;
    and ``noise`` corner / f, which a shot's receivers share; and what its traces hold before anything arrives.

    ``survey`` is the decimated one.
    """
    hz = np.maximum(whiten.frequencies_hz(survey), 1 / survey.duration_s / 4)
    data, basis = np.asarray(observed.gathers) - np.asarray(observed.background), shared_basis(survey)

    def power(own: np.ndarray, shared: np.ndarray) -> float:
        return max(float(np.mean(np.square(_filtered(np.einsum, own, shared, basis, data)))), 1e-30)

    operator = partial(_operator, survey, settings, high_hz)
    even, flat = operator(1.0), operator(1.0, gain_power=0.0)
    level = noise**2 * power(flat, flat) / _passed(hz, high_hz)
    louder = 1 + _recorded(survey, data, hz) / _spectrum(survey, settings) ** 2 / level
    own = operator(louder)
    shared = operator(louder + len(basis) / basis.shape[1] * (corner_hz / hz) ** 2)
    unweighed = power(even, even)
    variance = Counting(survey, high_hz).alike * noise**2 * unweighed
    return Band(own, shared, basis, 1 / variance, noise * (unweighed / power(own, shared)) ** 0.5)


def plain(survey: Survey, settings: PreprocessConfig, high_hz: float) -> Band:
    """The band up to ``high_hz`` of data without noise: misfits in it are those of the whitened gathers."""
    operator = _operator(survey, settings, high_hz, 1.0)
    return Band(operator, operator, shared_basis(survey), 1.0, 0.0)


def shared_basis(survey: Survey, parts: int = _SHARED) -> Float[np.ndarray, "receiver part"]:
    """Orthonormal polynomials along the receivers, up to parabolas; fewer where there are fewer receivers."""
    x_m = np.asarray(survey.receiver_x_m, np.float64)
    share = (x_m - x_m.mean()) / max(np.ptp(x_m) / 2, 1.0)
    return np.linalg.qr(np.vander(share, min(parts, len(x_m)), increasing=True))[0].astype(np.float32)


def together(bands: Sequence[Band]) -> Band:
    """The same band of several samples, an axis for them in front."""
    own, shared, bases, precisions, noises = zip(*bands, strict=True)
    arrays = np.stack(own), np.stack(shared), np.stack(bases)
    return Band(*arrays, jnp.array(precisions, jnp.float32), jnp.array(noises, jnp.float32))


def filtered(band: Band, traces: Gathers) -> Float[Array, "shot time receiver"]:
    """Each trace whitened."""
    operator, shared, basis = (jnp.asarray(each) for each in band[:3])
    return _filtered(partial(jnp.einsum, precision=EXACT), operator, shared, basis, jnp.asarray(traces))


def filtered_transposed(band: Band, traces: Gathers) -> Float[Array, "shot time receiver"]:
    """The transpose of ``filtered``."""
    return filtered(band._replace(operator=jnp.asarray(band.operator).T, shared=jnp.asarray(band.shared).T), traces)


def misfits(band: Band, observed: Observed, residual: Gathers) -> Misfits:
    """Of a whitened ``residual``."""
    data = filtered(band, jnp.asarray(observed.gathers) - jnp.asarray(observed.background))
    fitted = jnp.asarray(observed.fitted)
    left, all_of_it = ((a**2).sum((1, 2)) for a in (residual, data))

    def share(weights: Array) -> Array:
        return jnp.sqrt((weights * left).sum() / jnp.maximum((weights * all_of_it).sum(), 1e-30))

    return Misfits(share(fitted), share(1 - fitted))


def _filtered(einsum: Callable[..., Any], own: Any, shared: Any, basis: Any, traces: Any) -> Any:
    parts = einsum("sjr,rk->sjk", traces, basis)
    rest = traces - einsum("sjk,rk->sjr", parts, basis)
    return einsum("ij,sjr->sir", own, rest) + einsum("ij,sjk,rk->sir", shared, parts, basis)


def _operator(
    survey: Survey, settings: PreprocessConfig, high_hz: float, louder: np.ndarray | float,
    gain_power: float | None = None,
) -> np.ndarray:  # fmt: skip
    """Whitens for noise whose power is ``louder`` times a white series'. Floor and gain are the preset's own where it
    whitens.
    """
    if gain_power is None:
        gain_power = settings.gain_power if settings.whiten else _GAIN_POWER
    spectrum = _spectrum(survey, settings) * np.sqrt(louder)
    return whiten.operator(survey, spectrum, _floor(settings), high_hz, gain_power)


def _spectrum(survey: Survey, settings: PreprocessConfig) -> np.ndarray:
    return np.maximum(whiten.wavelet_spectrum(survey), _floor(settings))


def _floor(settings: PreprocessConfig) -> float:
    return _FLOOR if settings.whiten_floor == "auto" else settings.whiten_floor


def _passed(hz: np.ndarray, high_hz: float) -> float:
    """The share of a white spectrum's power that a band's low-pass leaves."""
    return float(np.mean(np.exp(-((hz / high_hz) ** 4))))


def _recorded(survey: Survey, data: np.ndarray, hz: np.ndarray) -> np.ndarray:
    """Power of recorded noise at frequencies, as a white series of that variance would have: seen before anything
    arrives, in samples too few for a spectrum. How alike neighbours in time are says how low its frequencies are, as in
    a first-order autoregressive process, no lower than to ``_LOWEST_HZ``: a short window cannot tell.
    """
    quiet = whiten.before_arrivals(survey)
    before = np.where(quiet, data, 0.0).astype(np.float64)
    variance = float(np.square(before).sum() / max(quiet.sum(), 1))
    if not variance > 0 or not (pairs := quiet[:, 1:].sum()):
        return np.zeros_like(hz)
    most = np.exp(-2 * np.pi * _LOWEST_HZ * survey.dt_s)
    alike = np.clip((before[:, 1:] * before[:, :-1]).sum() / pairs / variance, 0.0, most)
    return variance * (1 - alike**2) / (1 - 2 * alike * np.cos(2 * np.pi * hz * survey.dt_s) + alike**2)


def _receiver_step_m(survey: Survey) -> float:
    return float(np.median(np.diff(np.sort(np.asarray(survey.receiver_x_m))))) if survey.receivers > 1 else np.inf
