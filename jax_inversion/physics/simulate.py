"""From a velocity model to shot gathers, in the survey's own sampling."""

import math
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from ..arrays import Gathers, Velocity
from ..errors import UserError
from ..survey import CHALLENGE_RUN, Reference, Survey
from . import stencil
from .plan import CELLS_PER_WAVELENGTH, HIGHEST, Plan, acquisition, medium, xla_threads
from .propagator import propagate


def simulate(
    velocity_km_s: Real[Array | np.ndarray, "*batch x depth"],
    survey: Survey,
    *,
    spacing_m: float = 5.0,
    step_s: float | None = None,
    order: int = 8,
    boundary: Literal["damping", "cpml"] = "damping",
    free_surface: bool = False,
    reference: Reference | None = CHALLENGE_RUN,
    wavelet: Float[Array | np.ndarray, " nt"] | None = None,
    windows: bool = True,
    time_correction: bool = True,
    keep_every_s: float = 4e-3,
    keep_half: bool = False,
    memory: Literal["store", "recompute"] = "store",
) -> Gathers:
    """Shot gathers (*batch, shot, time, receiver) of velocity models (*batch, x, depth) in km/s.

    Constant-density acoustics, leapfrog in time, central differences of ``order`` 2, 4 or 8 in space on cells of
    ``spacing_m``. ``step_s`` defaults to just below the Courant limit of the survey's fastest velocity; the traces come
    back free of time dispersion (unless ``time_correction`` is off), every ``survey.dt_s``. ``wavelet`` (one sample
    every ``survey.dt_s``) defaults to the survey's Ricker; of one that is given nothing above 3 x ``survey.peak_hz`` is
    to be trusted. ``reference`` is the run whose data the gathers are to look like, the challenge's unless another is
    named; with None they tend to the exact equation's. ``boundary`` is the challenge's damping layer (as wide as the
    reference's, 350 m without one) or a CPML, which absorbs better; ``free_surface``
    makes depth 0 the surface of the sea. ``windows`` leaves out cells that no recorded wave visits (damping layer only:
    a CPML runs without).

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
    velocity = _floats(velocity_km_s)
    plan = Plan(
        survey,
        float(spacing_m),
        step_s,
        order,
        free_surface,
        reference,
        boundary,
        windows,
        time_correction,
        keep_every_s,
        keep_half,
        memory,
        given_wavelet=wavelet is not None,
        threads=xla_threads(),
    )
    _check(velocity, plan, wavelet)
    return _simulate(velocity, plan, wavelet)


@partial(jax.jit, static_argnames=("plan",))
def _simulate(velocity_km_s: Velocity, plan: Plan, wavelet: Array | None) -> Gathers:
    like = partial(jnp.asarray, dtype=velocity_km_s.dtype)
    if wavelet is None:
        wavelet, terms = map(like, plan.ricker)
    else:
        wavelet = like(wavelet)
        forth, back = map(like, plan.source_matrices)
        terms = back @ (forth @ wavelet)
    inside, ends = medium(velocity_km_s, plan), acquisition(terms, plan)
    record = propagate(inside, ends, plan.layout)
    traces = jnp.einsum("n...sX,RX->n...sR", record, like(plan.receiver_weights[0][:, plan.layout.record_slab[0]]))
    forth, back = map(like, plan.trace_matrices)
    sampled = jnp.moveaxis(jnp.tensordot(back, jnp.tensordot(forth, traces, 1), 1), 0, -2)
    near = jnp.einsum("t,sR->stR", wavelet, like(plan.near_field))
    return sampled + jnp.expand_dims(near, tuple(range(sampled.ndim - 3)))


def _floats(velocity: Array | np.ndarray) -> Velocity:
    """Of a type to compute in: float64 stays (where JAX has it), everything else becomes float32."""
    if not isinstance(velocity, jax.Array):
        velocity = np.asarray(velocity)
    if not jnp.issubdtype(velocity.dtype, jnp.floating) and not jnp.issubdtype(velocity.dtype, jnp.integer):
        raise UserError(f"velocity holds {velocity.dtype}; every cell must be a number of km/s")
    wide = jnp.issubdtype(velocity.dtype, jnp.floating) and velocity.dtype.itemsize >= 8
    return jnp.asarray(velocity.astype(jnp.float64 if wide and jax.config.jax_enable_x64 else jnp.float32))


def _check(velocity: Array, plan: Plan, wavelet: Array | None) -> None:
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
    if not isinstance(velocity, jax.core.Tracer):
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
