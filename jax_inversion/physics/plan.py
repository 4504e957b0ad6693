"""Everything about a simulation but the model: sizes, steps and constant matrices, worked out once in numpy."""

import math
import os
import sys
from dataclasses import dataclass
from functools import cache, cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ..arrays import EXACT, Velocity
from ..survey import CHALLENGE_RUN, Reference, Survey
from . import cpml, dispersion, stencil
from .boundary import damping
from .grid import Grid
from .layout import Acquisition, Layout, Medium
from .near_field import missing_static_field
from .wavelet import ricker

COURANT_SAFETY = 0.98
RICKER_S = 2.5  # in periods: the wavelet is over, down to 1e-9
HIGHEST = 3.0  # in peak frequencies: above it a Ricker's amplitudes are below 0.3 % of the peak's
_LEAST = 0.85  # of the model's least slowness squared, on the grid: see ``medium``
CELLS_PER_WAVELENGTH = 3.0  # of the highest frequency; there gathers are within 2 %, at a third fewer within 5 to 7 %


@dataclass(frozen=True)
class Plan:
    """Everything about a simulation but the model: hashable, and the home of its constant matrices."""

    survey: Survey
    spacing_m: float
    given_step_s: float | None
    order: int
    free_surface: bool
    reference: Reference | None
    boundary: str  # damping or cpml
    windows: bool
    time_correction: bool
    keep_every_s: float
    keep_half: bool
    memory: str  # store or recompute
    given_wavelet: bool
    threads: int  # that XLA runs a program on
    drift_m2: float = 0.0  # a term drift u beside m u_tt: what a reference's float32 makes of its background

    @property
    def like_spacing(self) -> float:
        """The reference's spacing over this one; 0 where there is none to look like, or only a coarser one."""
        ratio = self.reference.spacing_m / self.spacing_m if self.reference else 0.0
        return ratio if ratio <= 1 else 0.0

    @property
    def like_step_s(self) -> float:
        if not self.time_correction:
            return self.step_s
        return self.reference.dt_s if self.reference and self.reference.dt_s < self.step_s else 0.0

    def coarsest_spacing_m(self, slowest_km_s: float) -> float:
        """The largest spacing that gives the highest frequency of the survey's wavelet enough cells a wavelength."""
        return slowest_km_s * 1e3 / (HIGHEST * self.survey.peak_hz) / CELLS_PER_WAVELENGTH

    def courant_limit_s(self, fastest_km_s: float) -> float:
        return stencil.largest_step_s(self.spacing_m, fastest_km_s, self.order, self.like_spacing)

    @cached_property
    def step_s(self) -> float:
        return self.given_step_s or COURANT_SAFETY * self.courant_limit_s(self.survey.v_max_km_s)

    @property
    def layer_m(self) -> float:
        """Width of the damping layer, which the exact equation has to end in too."""
        return (self.reference or CHALLENGE_RUN).layer_m

    @cached_property
    def grid(self) -> Grid:
        margin = cpml.WIDTH_CELLS if self.boundary == "cpml" else max(1, round(self.layer_m / self.spacing_m))
        model_m = self.reference.spacing_m if self.reference else self.spacing_m / 5
        return Grid(self.survey, self.spacing_m, margin, self.free_surface, model_m)

    @cached_property
    def steps(self) -> int:
        return dispersion.steps_needed(self.survey.duration_s, self.step_s, 3 * max(1, self.keep_triples))

    @property
    def keep_triples(self) -> int:
        """Triples of steps from one kept step to the next; 0: every step."""
        return math.ceil(self.keep_every_s / self.step_s / 3) if self.keep_every_s else 0

    @cached_property
    def source_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """(shot, X) and (Z,)."""
        return self.grid.sinc(0, self.survey.source_x_m), self.grid.sinc(1, (self.survey.source_z_m,))[0]

    @cached_property
    def receiver_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """(receiver, X) and (Z,)."""
        return self.grid.sinc(0, self.survey.receiver_x_m), self.grid.sinc(1, (self.survey.receiver_z_m,))[0]

    @cached_property
    def taps(self) -> tuple[float, ...]:
        """Of the second derivative."""
        return stencil.second_derivative(self.order, self.like_spacing)

    @cached_property
    def layout(self) -> Layout:
        x, z = self.receiver_weights
        columns, rows = _extent(np.abs(x).sum(0)), _extent(z)
        centre, *taps = self.taps
        taps = (centre - self.drift_m2 * self.spacing_m**2 / 2, *taps)
        windows = self.windows and self.boundary == "damping"
        layer = len(taps) - 1, self.spacing_m, self.step_s, self.free_surface
        layer += self.survey.peak_hz, self.survey.v_max_km_s
        return Layout(
            spacing_m=self.spacing_m,
            step_s=self.step_s,
            nz=self.grid.shape[1],
            steps=self.steps,
            in_place=self.threads <= 1 + windows and not self.free_surface,
            source_steps=self.steps if self.given_wavelet else math.ceil(RICKER_S / self.survey.peak_hz / self.step_s),
            taps=taps,
            foot=max(rows[1], _extent(self.source_weights[1])[1]),
            receiver_columns=columns,
            receiver_rows=rows,
            free_surface=self.free_surface,
            layers=cpml.layers(*layer) if self.boundary == "cpml" else (),
            windows=windows,
            keep_triples=self.keep_triples,
            keep_half=self.keep_half,
            hear=self.given_wavelet,
            memory=self.memory,
        )

    @cached_property
    def near_field(self) -> np.ndarray:
        fine_m = self.reference.spacing_m if self.reference else self.spacing_m / 8
        return np.asarray(missing_static_field(self.grid, self.taps, fine_m))

    @cached_property
    def damping(self) -> np.ndarray:
        if self.boundary == "cpml":
            return np.zeros(self.grid.shape)
        cell_m = self.reference.spacing_m if self.reference else 0.0
        per_m_and_ms = damping(self.grid, self.layer_m, cell_m)  # the reference's units; here s/m^2
        return np.asarray(per_m_and_ms * 1e-3)

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
    """Slowness squared on the grid, the model's edges replicated into the absorbing layer, and the damping there.

    Beside a step a band-limited m falls below the lower side, cell by cell; down to 0.85 of the model's least (next to
    cells above it) leapfrog stays stable at the Courant limit of the fastest velocity, so that is where it is cut off.

    Devito's ``damp * u.dt`` is a forward difference, which is the central one and damp dt / 2 more of m.
    """
    x, z = (jnp.asarray(a, velocity_km_s.dtype) for a in plan.grid.resampling)
    given = 1e-6 / velocity_km_s**2
    least = lax.stop_gradient(jnp.min(given, axis=(-2, -1), keepdims=True))
    m = jnp.maximum(jnp.einsum("Xx,...xz,Zz->...XZ", x, given, z, precision=EXACT), _LEAST * least)
    damp = jnp.asarray(plan.damping, m.dtype)
    lag_s = plan.reference.dt_s / 2 if plan.reference else 0.0
    return Medium(m + jnp.expand_dims(damp * lag_s, tuple(range(m.ndim - 2))), damp)


def acquisition(terms: Float[Array, " step"], plan: Plan) -> Acquisition:
    """Source terms with the weights of the plan's sources and receivers."""
    weights = (*plan.source_weights, plan.receiver_weights[1])
    return Acquisition(terms, *(jnp.asarray(w, terms.dtype) for w in weights))


def xla_threads() -> int:
    """How many threads XLA runs a program on; many where it is not a CPU's."""
    return _host_threads() if jax.default_backend() == "cpu" else sys.maxsize


@cache  # as XLA itself asks once: what changes later in the process has no effect
def _host_threads() -> int:
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return int(os.environ.get("PJRT_NPROC") or available or 1)


def _extent(weights: np.ndarray) -> tuple[int, int]:
    """First cell and one past the last with any weight."""
    inside = np.flatnonzero(weights)
    return int(inside[0]), int(inside[-1]) + 1
