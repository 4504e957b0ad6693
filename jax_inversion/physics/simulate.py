"""From a velocity model to shot gathers, in the survey's own sampling."""

import math
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Shaped

from ..arrays import EXACT, Gathers, Velocity, are_numbers
from ..errors import UserError
from ..survey import CHALLENGE_RUN, Reference, Survey
from . import stencil
from .plan import CELLS_PER_WAVELENGTH, HIGHEST, Plan, acquisition, medium, xla_threads
from .propagator import propagate


def simulate(
    velocity_km_s: Shaped[Array | np.ndarray, "*batch x depth"],
    survey: Survey,
    *,
    spacing_m: float = 5.0,
    step_s: float | None = None,
    order: int = 8,
    boundary: str = "damping",
    free_surface: bool = False,
    reference: Reference | None = CHALLENGE_RUN,
    background: Float[Array | np.ndarray, "shot time receiver"] | None = None,
    background_km_s: float | None = None,
    wavelet: Float[Array | np.ndarray, " nt"] | None = None,
    windows: bool = True,
    time_correction: bool = True,
    keep_every_s: float = 4e-3,
    keep_half: bool = False,
    memory: str = "store",
) -> Gathers:
    """Shot gathers (*batch, shot, time, receiver) of velocity models (*batch, x, depth) in km/s.

    Constant-density acoustics, leapfrog in time, central differences of ``order`` 2, 4 or 8 in space on cells of
    ``spacing_m``. ``step_s`` defaults to just below the Courant limit of the survey's fastest velocity; the traces come
    back free of time dispersion (unless ``time_correction`` is off), every ``survey.dt_s``. ``wavelet`` (one sample
    every ``survey.dt_s``) defaults to the survey's Ricker; of one that is given nothing above 3 x ``survey.peak_hz`` is
    to be trusted.

    ``reference`` is the run whose data the gathers are to look like, the challenge's unless another is named; with None
    they tend to the exact equation's. ``background`` is what that run records over a homogeneous medium of
    ``background_km_s`` (the survey's slowest velocity unless given), from the function of that name: the simulator then
    adds only the difference that the model makes, and the direct wave is the reference's own.

    ``boundary`` is the challenge's damping layer (as wide as the reference's, 350 m without one) or a CPML, which
    absorbs better; ``free_surface`` makes depth 0 the surface of the sea. ``windows`` leaves out cells that no recorded
    wave visits (damping layer only: a CPML runs without).

    Differentiable in reverse with respect to the model and ``wavelet``, under ``jit`` and ``vmap`` too, by the
    adjoint-state method, which keeps the field's second time difference every ``keep_every_s`` (rounded up
    to whole triples of steps; 0: at every step, exact), with ``keep_half`` as bfloat16; ``memory="recompute"`` keeps
    checkpoints instead, in about an eighth of the memory and less than twice the time.
    Positions of sources and receivers are not differentiated.

    The work is done in float32, or in float64 for models in float64 where JAX has that switched on.

    Raises ``UserError`` for a step above the Courant limit, fewer than 3 cells in the shortest wavelength (the slowest
    velocity's at 3 x the peak frequency), velocities that are not positive and finite, a model of another shape and a
    source or receiver in the absorbing layer, before anything is compiled. Under ``jit``, ``grad`` or ``vmap`` the
    model's values are not known; the survey's slowest and fastest velocities are then checked.
    """
    ready = prepare(
        velocity_km_s,
        survey,
        spacing_m=float(spacing_m),
        given_step_s=step_s,
        order=order,
        free_surface=free_surface,
        reference=reference,
        boundary=boundary,
        windows=windows,
        time_correction=time_correction,
        keep_every_s=keep_every_s,
        keep_half=keep_half,
        memory=memory,
        wavelet=wavelet,
        background=background,
        background_km_s=background_km_s,
    )
    return _simulate(*ready)


class Ready(NamedTuple):
    """All that a run needs, checked. ``correction`` is what the reference's background has more than this run's."""

    velocity_km_s: Velocity
    plan: Plan
    wavelet: Array | np.ndarray | None
    correction: Array | None


def prepare(
    velocity_km_s: Shaped[Array | np.ndarray, "*batch x depth"],
    survey: Survey,
    *,
    wavelet: Float[Array | np.ndarray, " nt"] | None,
    background: Float[Array | np.ndarray, "shot time receiver"] | None,
    background_km_s: float | None,
    **how: Any,
) -> Ready:
    """Arguments of ``simulate``, ``how`` by the names of ``Plan``; raises what ``simulate`` raises."""
    velocity = _floats(velocity_km_s)
    plan = Plan(survey, given_wavelet=wavelet is not None, threads=xla_threads(), **how)
    _check(velocity, plan, wavelet)
    correction = None
    if background is not None:
        slow_km_s = survey.v_min_km_s if background_km_s is None else float(background_km_s)
        correction = _correction(background, slow_km_s, plan, wavelet, velocity.dtype)
    return Ready(velocity, plan, wavelet, correction)


def _correction(
    background: Array | np.ndarray, km_s: float, plan: Plan, wavelet: Array | np.ndarray | None, dtype: jnp.dtype
) -> Array:
    """What the reference's response of a homogeneous medium has more than this simulator's: a constant."""
    if plan.reference is None or plan.boundary != "damping":
        raise UserError("a background is the response of a reference run: it needs a reference and the damping layer")
    if background.shape != plan.survey.gathers_shape:
        raise UserError(
            f"background has shape {background.shape}; the survey's gathers are {plan.survey.gathers_shape}"
        )
    if isinstance(wavelet, Tracer):
        raise UserError("a background is that of one wavelet; leave it out where the wavelet is traced")
    given = None if wavelet is None else (np.asarray(wavelet).tobytes(), str(wavelet.dtype))
    return jnp.asarray(background, dtype) - jnp.asarray(_homogeneous(km_s, plan, given, dtype))


@lru_cache(maxsize=8)
def _homogeneous(km_s: float, plan: Plan, wavelet: tuple[bytes, str] | None, dtype: jnp.dtype) -> np.ndarray:
    with jax.ensure_compile_time_eval():  # this is known even where the model is being traced
        given = None if wavelet is None else jnp.asarray(np.frombuffer(*wavelet))
        return np.asarray(_simulate(jnp.full(plan.survey.model_shape, km_s, dtype), plan, given, None))


@partial(jax.jit, static_argnames=("plan",))
def _simulate(
    velocity_km_s: Velocity, plan: Plan, wavelet: Array | np.ndarray | None, correction: Array | None
) -> Float[Array, "*batch shot time receiver"]:
    spectra = trace_spectra(velocity_km_s, plan, wavelet if plan.given_wavelet else None)
    same = whatever_the_model(plan, wavelet, correction, velocity_km_s.dtype)
    return sampled(spectra, plan) + jnp.expand_dims(same, tuple(range(spectra.ndim - 3)))


@partial(jax.jit, static_argnames=("plan",))
def trace_spectra(
    velocity_km_s: Velocity, plan: Plan, wavelet: Array | None
) -> Float[Array, "part *batch shot receiver"]:
    """Real and imaginary parts of the traces' spectra, which ``dispersion.synthesis`` turns into samples."""
    terms = source_terms(plan, wavelet, velocity_km_s.dtype)
    return spectra_of(propagate(medium(velocity_km_s, plan), acquisition(terms, plan), plan.layout), plan)


def source_terms(plan: Plan, wavelet: Array | np.ndarray | None, dtype: jnp.dtype) -> Float[Array, " step"]:
    """One term a step, of the wavelet or of the survey's Ricker."""
    if wavelet is None:
        return jnp.asarray(plan.ricker[1], dtype)
    forth, back = (jnp.asarray(matrix, dtype) for matrix in plan.source_matrices)
    exact = partial(jnp.matmul, precision=EXACT)
    return exact(back, exact(forth, jnp.asarray(wavelet, dtype)))


def spectra_of(
    record: Float[Array, "step *batch shot column"], plan: Plan
) -> Float[Array, "part *batch shot receiver"]:
    """A record at the receivers' positions, without its time dispersion: a linear map."""
    weights = plan.receiver_weights[0][:, plan.layout.record_slab[0]]
    traces = jnp.einsum("n...sX,RX->n...sR", record, jnp.asarray(weights, record.dtype), precision=EXACT)
    return jnp.tensordot(jnp.asarray(plan.trace_matrices[0], record.dtype), traces, 1, precision=EXACT)


def sampled(
    spectra: Float[Array, "part *batch shot receiver"], plan: Plan
) -> Float[Array, "*batch shot time receiver"]:
    """Spectra at the survey's times: a linear map."""
    waves = jnp.asarray(plan.trace_matrices[1], spectra.dtype)
    return jnp.moveaxis(jnp.tensordot(waves, spectra, 1, precision=EXACT), 0, -2)


def whatever_the_model(
    plan: Plan, wavelet: Array | np.ndarray | None, correction: Array | None, dtype: jnp.dtype
) -> Float[Array, "shot time receiver"]:
    """What gathers hold besides the wavefield on the grid: the near field, and the background's correction."""
    like = partial(jnp.asarray, dtype=dtype)
    same = jnp.einsum(
        "t,sR->stR", like(plan.ricker[0] if wavelet is None else wavelet), like(plan.near_field), precision=EXACT
    )
    return same if correction is None else same + like(correction)


def _floats(velocity: Array | np.ndarray) -> Float[Array, "*batch x depth"]:
    """Of a type to compute in: float64 stays (where JAX has it), everything else becomes float32."""
    if not isinstance(velocity, jax.Array):
        velocity = np.asarray(velocity)
    if not are_numbers(velocity.dtype):
        raise UserError(f"velocity holds {velocity.dtype}; every cell must be a number of km/s")
    wide = jnp.issubdtype(velocity.dtype, jnp.floating) and velocity.dtype.itemsize >= 8
    return jnp.asarray(velocity.astype(jax.dtypes.canonicalize_dtype(jnp.float64) if wide else jnp.float32))


def _check(velocity: Array, plan: Plan, wavelet: Array | np.ndarray | None) -> None:
    survey = plan.survey
    for name, value, allowed in (
        ("stencil order", plan.order, stencil.ORDERS),
        ("boundary", plan.boundary, ("damping", "cpml")),
        ("memory", plan.memory, ("store", "recompute")),
    ):
        if value not in allowed:
            raise UserError(f"{name} {value!r} is not one of {', '.join(map(str, allowed))}")
    if not (plan.spacing_m > 0 and plan.step_s > 0):
        raise UserError(f"spacing_m {plan.spacing_m:g} and step_s must be above zero")
    if not plan.keep_every_s >= 0:
        raise UserError(f"keep_every_s {plan.keep_every_s:g} must be a time in seconds, or 0 for every step")
    if wavelet is not None and jnp.shape(wavelet) != (survey.nt,):
        raise UserError(f"wavelet has shape {jnp.shape(wavelet)}; it needs the survey's {survey.nt} samples")
    if velocity.shape[-2:] != survey.model_shape:
        raise UserError(f"velocity has shape {velocity.shape}; the survey's models are {survey.model_shape} (x, depth)")
    if plan.boundary == "cpml" and min(plan.grid.inner_shape) < plan.order:  # or its strips would overlap
        raise UserError(f"boundary cpml needs {plan.order} cells or more each way, not {plan.grid.inner_shape}")
    plan.grid.check_inside()
    slowest, fastest = survey.v_min_km_s, survey.v_max_km_s
    if not isinstance(velocity, Tracer):
        values = np.asarray(velocity)  # in numpy, as jnp would trace even a known model inside somebody's jit
        slowest, fastest = float(values.min()), float(values.max())
        if not (np.isfinite(slowest) and np.isfinite(fastest)):
            raise UserError("velocity holds NaN or infinity; every cell must be a finite number of km/s")
        if slowest <= 0:
            raise UserError(f"velocity falls to {slowest:g} km/s; every cell must be above zero")
    coarsest_m = plan.coarsest_spacing_m(slowest)
    if plan.spacing_m > coarsest_m * (1 + 1e-6):
        raise UserError(
            f"spacing_m {plan.spacing_m:g} leaves fewer than {CELLS_PER_WAVELENGTH:g} cells in the shortest wavelength:"
            f" {slowest:g} km/s at {HIGHEST * survey.peak_hz:g} Hz, {HIGHEST:g} times the survey's peak_hz;"
            f" at most {math.floor(coarsest_m * 100) / 100:g} m will do"
        )
    limit_s = plan.courant_limit_s(fastest)
    if plan.step_s > limit_s:
        raise UserError(
            f"a step of {plan.step_s * 1e3:.4g} ms is above the Courant limit of {limit_s * 1e3:.4g} ms"
            f" ({fastest:g} km/s on {plan.spacing_m:g} m cells, order {plan.order})"
        )
