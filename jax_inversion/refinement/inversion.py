"""One sample refined: band after band, judged on a shot that was not fitted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..data.preprocess import PreprocessConfig
from ..physics import SimulatorConfig
from ..resampling import resize
from ..sections import RefineConfig
from ..survey import Survey
from . import solver
from .objective import Band, Misfits, Observed, band
from .prior import Prior

SCALES = (1.0, 0.75, 0.5, 0.25)  # of the correction, that the held-out shot chooses from
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
    """``velocity_km_s`` (x, depth) and its relative standard deviation; misfits are those of the widest band.

    ``scale`` says how much of the correction was kept; with 0 the prediction came back as it was, for ``reason``.
    """

    velocity_km_s: Float[np.ndarray, "x depth"]
    deviation: Float[np.ndarray, "X Z"]
    scale: float
    reason: str
    start: Misfits
    end: Misfits
    steps: int

    @property
    def deviation_km_s(self) -> Float[np.ndarray, "x depth"]:
        """The standard deviation of ``velocity_km_s``."""
        return absolute(self.deviation, self.velocity_km_s)

    @property
    def said(self) -> dict[str, Any]:
        """What a report tells of it, fit for JSON."""
        misfits = {"start": self.start.held_out, "end": self.end.held_out, "fitted": self.end.fitted}
        finite = {name: value if math.isfinite(value) else None for name, value in misfits.items()}
        return {"scale": self.scale, "reason": self.reason, "steps": self.steps, "misfit": finite}


def absolute(deviation: Float[np.ndarray, "X Z"], velocity_km_s: np.ndarray) -> Float[np.ndarray, "x depth"]:
    """A deviation of log velocity, on the correction's cells, in km/s on the model's."""
    return velocity_km_s * np.asarray(resize(deviation, velocity_km_s.shape))


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
    survey, settings = setting.survey, setting.refine
    start = np.asarray(start_km_s, np.float32)
    if not (np.isfinite(start).all() and np.isfinite(gathers).all()):
        return _unrefined(start, prior, Misfits(np.nan, np.nan), "not all values are finite", 0)
    fitted = np.ones(survey.shots, np.float32)
    if survey.shots > 1:
        fitted[setting.held_out] = 0
    observed = Observed(*map(jnp.asarray, (start, gathers.astype(np.float32), background.astype(np.float32), fitted)))
    bands = [
        band(survey, observed, setting.preprocess, high_hz, settings.noise, settings.noise_corner_hz)
        for high_hz in settings.bands_hz
    ]
    factor, fixed = jnp.asarray(prior.factor), _fixed(prior, setting)
    w = jnp.zeros(factor.shape[0], jnp.float32)
    first = _plain(solver.look(observed, bands[-1], factor, w, **fixed))
    if not max(first) <= settings.most_misfit:
        return _unrefined(start, prior, first, f"misfit {max(first):.2f} at the start: unlike what was trained on", 0)
    w, last, steps = _descend(observed, bands, factor, w, setting, fixed)
    trials = [(scale, _plain(solver.look(observed, bands[-1], factor, scale * w, **fixed))) for scale in SCALES]
    scale, end = min(trials, key=lambda trial: _judge(trial[1]) if all(map(math.isfinite, trial[1])) else np.inf)
    velocity = np.asarray(solver.refined(start, factor, scale * w, prior.shape, survey))
    if not (_judge(end) < _judge(first) and np.isfinite(velocity).all()):
        return _unrefined(start, prior, first, "no correction brings the held-out shot nearer", steps)
    deviation = np.asarray(solver.deviation(factor, last, prior.shape))
    return Refined(velocity, deviation, scale, "", first, end, steps)


def _descend(
    observed: Observed, bands: Sequence[Band], factor: Any, w: Any, setting: Setting, fixed: dict[str, Any]
) -> tuple[Any, solver.Step, int]:
    settings, taken, step = setting.refine, 0, None
    for each in bands:
        for _ in range(settings.steps):
            step = solver.gauss_newton(observed, each, factor, w, products=settings.products, **fixed)
            w, taken = step.w, taken + 1
            before, after = float(step.before), float(step.after)
            if float(step.misfits.fitted) <= each.noise or not before - after > _FAINT * before:
                break
    assert step is not None
    return w, step, taken


def _fixed(prior: Prior, setting: Setting) -> dict[str, Any]:
    return {"shape": prior.shape, "survey": setting.survey, "simulator": setting.simulator}


def _plain(found: Misfits) -> Misfits:
    return Misfits(float(found.fitted), float(found.held_out))


def _judge(found: Misfits) -> float:
    """What decides: the held-out shot, or all where the survey has but one."""
    return float(found.held_out or found.fitted)


def _unrefined(start: np.ndarray, prior: Prior, found: Misfits, reason: str, steps: int) -> Refined:
    return Refined(start, prior.deviation, 0.0, reason, found, found, steps)
