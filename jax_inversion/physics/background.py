"""What the reference run itself records over a homogeneous medium: the direct wave, and what its layer sends back.

It is most of the data, the same in every model, and what a coarser grid gets wrong most. So a reference run of our own,
on the reference's cells with its order, steps and drift, is made once for a survey and its wavelet, and kept.
"""

import dataclasses
import hashlib
import json
import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..errors import UserError
from ..survey import CHALLENGE_RUN, Reference, Survey
from .dispersion import TAIL_S, synthesis
from .plan import Plan, xla_threads
from .simulate import trace_spectra
from .wavelet import ricker

_VERSION = 1  # of the numerics: a change of what is computed below must change it
_ROUND_S = 0.05  # recordings are made up to a multiple of this, so that surveys of other intervals share one


def background(
    survey: Survey,
    *,
    background_km_s: float | None = None,
    reference: Reference = CHALLENGE_RUN,
    free_surface: bool = False,
) -> Float[np.ndarray, "shot time receiver"]:
    """The reference's gathers of a medium of ``background_km_s`` (unless given: the survey's slowest velocity).

    This is a run on the reference's own cells: a minute on a CPU for the challenge's survey. ``UserError`` for a
    velocity that the reference's step does not allow, and for sources or receivers outside the section.
    """
    km_s = survey.v_min_km_s if background_km_s is None else background_km_s
    return gathers_of(background_spectra(survey, km_s, reference, free_surface), survey, reference)


def background_spectra(
    survey: Survey, km_s: float, reference: Reference = CHALLENGE_RUN, free_surface: bool = False
) -> Float[np.ndarray, "part shot receiver"]:
    """The same as real and imaginary parts of spectra, 0.2 MB for the challenge: what to keep."""
    plan = _plan(survey, km_s, reference, free_surface)
    plan.grid.check_inside()
    limit_s = plan.courant_limit_s(km_s)
    if not 0 < plan.step_s <= limit_s:
        raise UserError(
            f"a background of {km_s:g} km/s: the reference's step of {reference.dt_s * 1e3:g} ms is above the Courant"
            f" limit of {limit_s * 1e3:.3g} ms on its cells of {reference.spacing_m:g} m"
        )
    spectra = np.asarray(trace_spectra(jnp.full(plan.survey.model_shape, km_s, jnp.float32), plan, None))
    wavelet = plan.trace_matrices[0] @ ricker(np.arange(1, plan.steps + 1) * plan.step_s, survey.peak_hz)
    return (spectra + wavelet[:, None, None] * plan.near_field).astype(np.float32)


def gathers_of(
    spectra: Float[np.ndarray, "part shot receiver"], survey: Survey, reference: Reference = CHALLENGE_RUN
) -> Float[np.ndarray, "shot time receiver"]:
    """Spectra of a background as gathers at the survey's times, float32."""
    waves = synthesis(np.arange(survey.nt) * survey.dt_s, _recorded_s(survey), reference.dt_s, survey.peak_hz)
    return np.moveaxis(np.tensordot(waves, spectra, 1), 0, -2).astype(np.float32)


def background_fingerprint(survey: Survey, km_s: float, reference: Reference, free_surface: bool) -> str:
    """A short text that is the same only where ``background_spectra`` would be."""
    plan = _plan(survey, km_s, reference, free_surface)
    run = plan.survey.as_dict() | dataclasses.asdict(reference) | {"km_s": km_s, "free_surface": free_surface}
    irrelevant = ("v_min_km_s", "v_max_km_s")
    run = {name: value for name, value in run.items() if name not in irrelevant} | {"version": _VERSION}
    return hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()[:16]


def background_updates(survey: Survey, km_s: float, reference: Reference, free_surface: bool) -> int:
    """Cells times steps times shots of the run: at some 1e9 a second on a CPU, how long it takes."""
    plan = _plan(survey, km_s, reference, free_surface)
    return math.prod(plan.grid.shape) * plan.steps * survey.shots


def _recorded_s(survey: Survey) -> float:
    return _ROUND_S * math.ceil(survey.duration_s / _ROUND_S - 1e-6)


def _plan(survey: Survey, km_s: float, reference: Reference, free_surface: bool) -> Plan:
    recorded_s = _recorded_s(survey)
    # No wave comes back in time from below this depth.
    deepest_m = max(survey.source_z_m, survey.receiver_z_m) + 1e3 * km_s * (recorded_s + TAIL_S) / 2
    alike = dataclasses.replace(
        survey,
        nz=min(survey.nz, math.ceil(deepest_m / survey.spacing_m) + 1),
        nt=round(recorded_s / reference.dt_s) + 1,
        dt_s=reference.dt_s,
    )
    return Plan(
        alike,
        reference.spacing_m,
        reference.dt_s,
        order=2,
        free_surface=free_surface,
        reference=reference,
        boundary="damping",
        windows=True,
        time_correction=False,
        keep_every_s=0.0,
        keep_half=False,
        memory="store",
        given_wavelet=False,
        threads=xla_threads(),
        drift_m2=1e-6 / km_s**2 * reference.drift_s2,
    )
