"""From a velocity model to shot gathers, in the survey's own sampling."""

import math
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..arrays import Gathers, Velocity
from ..errors import UserError
from ..survey import Survey
from . import dispersion, stencil
from .boundary import DAMPING_WIDTH_M, damping
from .grid import Grid
from .layout import Layout, Medium, Source
from .near_field import missing_static_field
from .propagator import propagate
from .wavelet import ricker

COURANT_SAFETY = 0.98
RICKER_S = 2.5  # in periods: the wavelet is over, down to 1e-9


def simulate(
    velocity_km_s: Velocity,
    survey: Survey,
    *,
    spacing_m: float = 5.0,
    step_s: float | None = None,
    order: int = 8,
    free_surface: bool = False,
    wavelet: Float[Array, " nt"] | None = None,
    like_survey: bool = True,
    windows: bool = True,
    time_correction: bool = True,
    keep_every_s: float = 4e-3,
    keep_half: bool = False,
    memory: Literal["store", "recompute"] = "store",
) -> Gathers:
    """Shot gathers (*batch, shot, time, receiver) of velocity models (*batch, x, depth) in km/s.

    Constant-density acoustics, leapfrog in time, central differences of ``order`` 2, 4 or 8 in space on cells of
    ``spacing_m``. ``step_s`` defaults to just below the Courant limit of the survey's fastest velocity; the traces come
    back free of time dispersion, every ``survey.dt_s``. ``wavelet`` (one sample every ``survey.dt_s``) defaults to the
    survey's Ricker. ``like_survey`` reproduces data made with second-order differences on the survey's own spacing and
    interval, as the challenge's were; without it the result tends to the exact equation's. ``windows`` leaves out cells
    that no recorded wave visits; switch it off under ``vmap`` (a leading batch axis is handled without it).

    Raises ``UserError`` for a step above the Courant limit, velocities that are not positive and finite, a model of
    another shape and a source or receiver outside the grid, before anything is compiled.
    """
    velocity = jnp.asarray(velocity_km_s)
    plan = Plan(
        survey,
        float(spacing_m),
        step_s,
        order,
        free_surface,
        like_survey,
        windows,
        time_correction,
        keep_every_s,
        keep_half,
        memory,
        given_wavelet=wavelet is not None,
    )
    _check(velocity, plan)
    return _simulate(velocity, plan, wavelet)


@dataclass(frozen=True)
class Plan:
    """Everything about a simulation but the model: hashable, and the home of its constant matrices."""

    survey: Survey
    spacing_m: float
    given_step_s: float | None
    order: int
    free_surface: bool
    like_survey: bool
    windows: bool
    time_correction: bool
    keep_every_s: float
    keep_half: bool
    memory: Literal["store", "recompute"]
    given_wavelet: bool

    @property
    def like_spacing(self) -> float:
        return self.survey.spacing_m / self.spacing_m if self.like_survey else 0.0

    @property
    def like_step_s(self) -> float:
        if not self.time_correction:
            return self.step_s
        return self.survey.dt_s if self.like_survey and self.survey.dt_s < self.step_s else 0.0

    def courant_limit_s(self, fastest_km_s: float) -> float:
        return stencil.largest_step_s(self.spacing_m, fastest_km_s, self.order, self.like_spacing)

    @cached_property
    def step_s(self) -> float:
        return self.given_step_s or COURANT_SAFETY * self.courant_limit_s(self.survey.v_max_km_s)

    @cached_property
    def grid(self) -> Grid:
        return Grid(self.survey, self.spacing_m, round(DAMPING_WIDTH_M / self.spacing_m), self.free_surface)

    @cached_property
    def steps(self) -> int:
        return dispersion.steps_needed(self.survey.duration_s, self.step_s, 2 * max(1, self.keep_pairs))

    @property
    def keep_pairs(self) -> int:
        """Pairs of steps from one kept step to the next; 0: every step."""
        return max(1, round(self.keep_every_s / self.step_s / 2)) if self.keep_every_s else 0

    @cached_property
    def source_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """(shot, X) and (Z,)."""
        return self.grid.sinc(0, self.survey.source_x_m), self.grid.sinc(1, (self.survey.source_z_m,))[0]

    @cached_property
    def receiver_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """(receiver, X) and (Z,)."""
        return self.grid.sinc(0, self.survey.receiver_x_m), self.grid.sinc(1, (self.survey.receiver_z_m,))[0]

    @cached_property
    def layout(self) -> Layout:
        x, z = self.receiver_weights
        columns, rows = _extent(np.abs(x).sum(0)), _extent(z)
        return Layout(
            spacing_m=self.spacing_m,
            step_s=self.step_s,
            steps=self.steps,
            source_steps=self.steps if self.given_wavelet else math.ceil(RICKER_S / self.survey.peak_hz / self.step_s),
            taps=stencil.second_derivative(self.order, self.like_spacing),
            foot=max(rows[1], _extent(self.source_weights[1])[1]),
            receiver_columns=columns,
            receiver_rows=rows,
            free_surface=self.free_surface,
            windows=self.windows,
            keep_pairs=self.keep_pairs,
            keep_half=self.keep_half,
            hear=self.given_wavelet,
            memory=self.memory,
        )

    @cached_property
    def near_field(self) -> np.ndarray:
        fine_m = self.survey.spacing_m if self.like_survey else self.spacing_m / 8
        return np.asarray(missing_static_field(self.grid, self.layout.taps, fine_m))

    @cached_property
    def damping(self) -> np.ndarray:
        return np.asarray(damping(self.grid) * 1e-3)  # per m and per ms of the reference's units to s/m^2

    @cached_property
    def source_matrices(self) -> tuple[np.ndarray, np.ndarray]:
        s = self.survey
        return dispersion.source_matrices(s.nt, s.dt_s, self.steps, self.step_s, s.peak_hz, self.like_step_s)

    @cached_property
    def ricker(self) -> tuple[np.ndarray, np.ndarray]:
        """The survey's wavelet every dt_s, and the source terms that it makes."""
        wavelet = ricker(np.arange(self.survey.nt) * self.survey.dt_s, self.survey.peak_hz)
        forth, back = self.source_matrices
        return wavelet, back @ (forth @ wavelet)

    @cached_property
    def trace_matrices(self) -> tuple[np.ndarray, np.ndarray]:
        s = self.survey
        return dispersion.trace_matrices(self.steps, self.step_s, s.nt, s.dt_s, s.peak_hz, self.like_step_s)


def medium(velocity_km_s: Velocity, plan: Plan) -> Medium:
    """Slowness squared averaged over the grid's cells, the model's edges replicated into the absorbing layer."""
    x, z = (jnp.asarray(a, velocity_km_s.dtype) for a in plan.grid.averaging)
    m = jnp.einsum("Xx,...xz,Zz->...XZ", x, 1e-6 / velocity_km_s**2, z)
    return Medium(m, jnp.asarray(plan.damping, m.dtype))


@partial(jax.jit, static_argnames=("plan",))
def _simulate(velocity_km_s: Velocity, plan: Plan, wavelet: Array | None) -> Gathers:
    like = partial(jnp.asarray, dtype=velocity_km_s.dtype)
    if wavelet is None:
        wavelet, terms = map(like, plan.ricker)
    else:
        forth, back = map(like, plan.source_matrices)
        terms = back @ (forth @ wavelet)
    source = Source(terms, *map(like, plan.source_weights))
    record = propagate(medium(velocity_km_s, plan), source, plan.layout)
    x, z = plan.receiver_weights
    columns, rows = plan.layout.record_slab
    traces = jnp.einsum("n...sXZ,RX,Z->n...sR", record, like(x[:, columns]), like(z[rows]))
    forth, back = map(like, plan.trace_matrices)
    sampled = jnp.moveaxis(jnp.tensordot(back, jnp.tensordot(forth, traces, 1), 1), 0, -2)
    near = jnp.einsum("t,sR->stR", wavelet, like(plan.near_field))
    return sampled + jnp.expand_dims(near, tuple(range(sampled.ndim - 3)))


def _check(velocity: Array, plan: Plan) -> None:
    survey = plan.survey
    if velocity.shape[-2:] != survey.model_shape:
        raise UserError(f"velocity has shape {velocity.shape}; the survey's models are {survey.model_shape} (x, depth)")
    if plan.order not in stencil.ORDERS:
        raise UserError(f"stencil order {plan.order} is not one of {', '.join(map(str, stencil.ORDERS))}")
    plan.grid.check_inside()
    fastest = survey.v_max_km_s
    if not isinstance(velocity, jax.core.Tracer):
        low, fastest = float(velocity.min()), float(velocity.max())
        if not (np.isfinite(low) and np.isfinite(fastest)):
            raise UserError("velocity holds NaN or infinity; every cell must be a finite number of km/s")
        if low <= 0:
            raise UserError(f"velocity falls to {low:g} km/s; every cell must be above zero")
    limit_s = plan.courant_limit_s(fastest)
    if plan.step_s > limit_s:
        raise UserError(
            f"a step of {plan.step_s * 1e3:.4g} ms is above the Courant limit of {limit_s * 1e3:.4g} ms"
            f" ({fastest:g} km/s on {plan.spacing_m:g} m cells, order {plan.order})"
        )


def _extent(weights: np.ndarray) -> tuple[int, int]:
    """First cell and one past the last with any weight."""
    inside = np.flatnonzero(weights)
    return int(inside[0]), int(inside[-1]) + 1
