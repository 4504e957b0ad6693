"""One sample refined: band after band, judged on a shot that was not fitted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..data.preprocess import PreprocessConfig
from ..physics import SimulatorConfig
from ..sections import RefineConfig
from ..survey import Survey
from . import solver
from .objective import Band, Misfits, Observed, band, plain, together
from .prior import Prior

LAYOUT = 3  # of what the same settings give: raise it when that changes
SCALES = (1.0, 0.75, 0.5, 0.25)  # of the correction, that the held-out shot chooses from
_NOT_FINITE, _NO_NEARER = "not all values are finite", "no correction brings the held-out shot nearer"
_FAINT = 0.01  # a step that lowers the objective by less is the band's last


@dataclass(frozen=True)
class Setting:
    """What all samples of a set share. ``survey`` is that of the decimated gathers."""

    survey: Survey
    preprocess: PreprocessConfig
    simulator: SimulatorConfig
    refine: RefineConfig

    @property
    def held_out(self) -> int:
        """Index of the shot that judges."""
        shots = self.survey.shots
        return self.refine.hold_out - 1 if self.refine.hold_out else shots // 2


@dataclass(frozen=True, eq=False)
class Refined:
    """``velocity_km_s`` (x, depth) and its standard deviation; misfits are those of the widest band.

    ``scale`` says how much of the correction was kept; with 0 the prediction came back as it was, for ``reason``.
    """

    velocity_km_s: Float[np.ndarray, "x depth"]
    deviation_km_s: Float[np.ndarray, "x depth"]
    scale: float
    reason: str
    start: Misfits
    end: Misfits
    steps: int

    @property
    def said(self) -> dict[str, Any]:
        """What a report tells of it, fit for JSON."""
        misfits = {"start": self.start.held_out, "end": self.end.held_out, "fitted": self.end.fitted}
        finite = {name: value if math.isfinite(value) else None for name, value in misfits.items()}
        return {"scale": self.scale, "reason": self.reason, "steps": self.steps, "misfit": finite}


def refine(
    start_km_s: Float[np.ndarray, "x depth"],
    gathers: Float[np.ndarray, "shot time receiver"],
    background: Float[np.ndarray, "shot time receiver"],
    prior: Prior,
    setting: Setting,
) -> Refined:
    """Correct a prediction so that its gathers agree with those observed, as far as shots that were left out agree too.

    It comes back as it was where the gathers or the prediction are not finite, where its misfit is above
    ``most_misfit`` (data of another kind), and where no part of the correction brings the held-out shot nearer.
    """
    return refine_together(start_km_s[None], gathers[None], background, prior, setting)[0]


def refine_together(
    starts_km_s: Float[np.ndarray, "n x depth"],
    gathers: Float[np.ndarray, "n shot time receiver"],
    background: Float[np.ndarray, "shot time receiver"],
    prior: Prior,
    setting: Setting,
) -> list[Refined]:
    """``refine`` for samples side by side, as a device that computes much at once is quicker at."""
    survey, settings, count = setting.survey, setting.refine, len(starts_km_s)
    starts, traces = np.asarray(starts_km_s, np.float32), np.asarray(gathers, np.float32)
    finite = np.array([np.isfinite(a).all() and np.isfinite(b).all() for a, b in zip(starts, traces, strict=True)])
    if not finite.any():
        return [_unrefined(start, prior, survey, Misfits(np.nan, np.nan), _NOT_FINITE, 0) for start in starts]
    traces = np.where(finite[:, None, None, None], traces, background)  # so that the others' batch has numbers
    fitted = np.ones(survey.shots, np.float32)
    if survey.shots > 1:
        fitted[setting.held_out] = 0
    rest = jnp.asarray(background, jnp.float32), jnp.asarray(fitted)
    observed = Observed(jnp.asarray(starts), jnp.asarray(traces), *rest)
    limits = settings.noise, settings.noise_corner_hz
    seen = [Observed(start, each, np.asarray(background), fitted) for start, each in zip(starts, traces, strict=True)]
    bands = [
        together([band(survey, each, setting.preprocess, high_hz, *limits) for each in seen])
        for high_hz in settings.bands_hz
    ]
    factor, fixed = jnp.asarray(prior.factor), _fixed(prior, setting)
    w = solver.nothing(factor, count)
    whole = together([plain(survey, setting.preprocess, settings.bands_hz[-1])] * count)
    first, left = (_numbers(solver.look_together(observed, each, factor, w, **fixed)) for each in (bands[-1], whole))
    wild = np.array([not max(each) <= settings.most_misfit for each in left])
    w, last, steps = _descend(observed, bands, factor, w, finite & ~wild, setting, fixed)
    trials = [_numbers(solver.look_together(observed, bands[-1], factor, scale * w, **fixed)) for scale in SCALES]

    def chosen(k: int) -> Refined:
        if not finite[k]:
            return _unrefined(starts[k], prior, survey, Misfits(np.nan, np.nan), _NOT_FINITE, 0)
        if wild[k]:
            reason = f"misfit {max(left[k]):.2f} at the start: unlike what was trained on"
            return _unrefined(starts[k], prior, survey, first[k], reason, 0)
        own = [(scale, trial[k]) for scale, trial in zip(SCALES, trials, strict=True)]
        scale, end = min(own, key=lambda trial: _judge(trial[1]) if all(map(math.isfinite, trial[1])) else np.inf)
        velocity = np.asarray(solver.refined(starts[k], factor, scale * w[k], prior.shape, survey))
        if not (_judge(end) < _judge(first[k]) and np.isfinite(velocity).all()):
            return _unrefined(starts[k], prior, survey, first[k], _NO_NEARER, int(steps[k]))
        deviation = _deviation(starts[k], prior, survey, scale * w[k], last.vectors[k], last.tridiagonal[k])
        return Refined(velocity, deviation, scale, "", first[k], end, int(steps[k]))

    return [chosen(k) for k in range(count)]


def _descend(
    observed: Observed, bands: Sequence[Band], factor: Any, w: Any, wanted: np.ndarray, setting: Setting,
    fixed: dict[str, Any],
) -> tuple[Any, Any, np.ndarray]:  # fmt: skip
    """Numbers, the last step and how many were taken, of each sample; those not ``wanted`` stay where they are."""
    settings, taken, last = setting.refine, np.zeros(len(w), int), None
    for each, count in zip(bands, settings.band_products, strict=True):
        going = wanted.copy()
        for _ in range(settings.steps):
            if not going.any():
                break
            step = solver.gauss_newton_together(observed, each, factor, w, count, products=settings.products, **fixed)
            last = step if last is None else jax.tree.map(partial(_where, going), step, last)
            w, taken = _where(going, step.w, w), taken + going
            before, after = np.asarray(step.before), np.asarray(step.after)
            far = np.asarray(step.misfits.fitted) > np.asarray(each.noise)
            going = going & far & (before - after > _FAINT * before)  # anew: JAX may still read the old one's memory
    return w, last, taken


def _fixed(prior: Prior, setting: Setting) -> dict[str, Any]:
    return {"shape": prior.shape, "survey": setting.survey, "simulator": setting.simulator}


def _where(samples: np.ndarray, new: Any, old: Any) -> Any:
    return jnp.where(samples.reshape(-1, *[1] * (np.ndim(new) - 1)), new, old)


def _numbers(found: Misfits) -> list[Misfits]:
    """Of each sample, as numbers of Python."""
    return [Misfits(*map(float, each)) for each in zip(*map(np.asarray, found), strict=True)]


def _judge(found: Misfits) -> float:
    """What decides: the held-out shot, or all where the survey has but one."""
    return float(found.held_out or found.fitted)


def _unrefined(start: np.ndarray, prior: Prior, survey: Survey, found: Misfits, reason: str, steps: int) -> Refined:
    w = solver.nothing(prior.factor)
    deviation = _deviation(start, prior, survey, w, w[None], jnp.zeros((1, 1)))
    return Refined(start, deviation, 0.0, reason, found, found, steps)


def _deviation(start: np.ndarray, prior: Prior, survey: Survey, *known: Any) -> np.ndarray:
    return np.asarray(solver.deviation(start, prior.factor, *known, shape=prior.shape, survey=survey))
