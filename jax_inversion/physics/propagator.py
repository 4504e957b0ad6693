"""The time loop: leapfrog over the padded grid, all shots and models at once.

    m (u+ - 2 u + u-) / dt^2 + damp (u+ - u-) / (2 dt) = laplace(u) + q        m = 1 / v^2

Row k of a line is the wavefield at step k; source term k enters the wavefield of step k + 1.

Cells that the wave has not reached yet, or that it can no longer leave for a receiver in time, are left out: the loop
runs over windows that grow and shrink in depth, with bounds computed from the fastest velocity at each depth. This is exact
(Dirichlet walls that no recorded energy meets) and about halves the work.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from . import stencil

_WINDOWS = 5
_GUARD_CELLS = 6


class Layout(NamedTuple):
    """What the loop must know at compile time. All lengths in cells and steps."""

    spacing_m: float
    step_s: float
    steps: int  # even
    source_steps: int  # the source is silent from here on
    taps: tuple[float, ...]
    foot: int  # the deepest row that a source or receiver touches, plus one
    receiver_columns: tuple[int, int]
    receiver_rows: tuple[int, int]
    free_surface: bool
    windows: bool


class Medium(NamedTuple):
    """m = slowness squared in s^2/m^2 (*batch, X, Z) and the damping in s/m^2 (X, Z), both on the padded grid."""

    m: Float[Array, "*batch X Z"]
    damp: Float[Array, "X Z"]


class Source(NamedTuple):
    """Terms, one a step, in amplitude times m^2 (a unit point source), and sinc weights along both axes."""

    terms: Float[Array, " step"]
    x: Float[Array, "shot X"]
    z: Float[Array, " Z"]


def window_bounds(medium: Medium, layout: Layout, depths: tuple[int, ...]) -> Int[Array, " window"]:
    """Pair of steps at which the wave may reach the foot of each window: a lower bound over batch and x."""
    slowness = jnp.sqrt(jnp.min(medium.m, axis=tuple(range(medium.m.ndim - 1))))
    seconds = jnp.cumsum(jnp.where(jnp.arange(slowness.size) < layout.foot, 0, slowness)) * layout.spacing_m
    feet = jnp.array([seconds[max(d - _GUARD_CELLS, 0)] for d in depths])
    half = layout.steps // 4
    return jnp.clip((feet / layout.step_s / 2).astype(jnp.int32), 0, half)


def window_depths(nz: int, layout: Layout) -> tuple[int, ...]:
    """Feet of the windows, in cells; the last is the whole grid."""
    first = layout.foot + 4 * _GUARD_CELLS
    if not layout.windows or first >= nz:
        return (nz,)
    return tuple(int(d) for d in np.unique(np.linspace(first, nz, _WINDOWS).round()))


@partial(jax.jit, static_argnames=("layout",))
def propagate(medium: Medium, source: Source, layout: Layout) -> Float[Array, "step *batch shot column row"]:
    """The wavefield in the cells around the receivers, at every step."""
    depths = window_depths(medium.m.shape[-1], layout)
    update = Update(medium, source, layout)
    start = jnp.zeros((*medium.m.shape[:-2], source.x.shape[0], *medium.m.shape[-2:]), medium.m.dtype)
    columns, rows = slice(*layout.receiver_columns), slice(*layout.receiver_rows)
    record = jnp.zeros((layout.steps, *start[..., columns, rows].shape), start.dtype)

    def pair(i: Array, carry: tuple, depth: int, sounding: bool) -> tuple:
        # Two steps an iteration: the fields change places without a copy.
        u, before, record = carry
        record = record.at[2 * i].set(u[..., columns, rows])
        after = update.step(u, before, 2 * i, depth, sounding)
        record = record.at[2 * i + 1].set(after[..., columns, rows])
        return update.step(after, u, 2 * i + 1, depth, sounding), after, record

    return run_windows(pair, (start, start, record), depths, window_bounds(medium, layout, depths), layout)[2]


def run_windows(pair, carry: tuple, depths: tuple[int, ...], bounds: Int[Array, " window"], layout: Layout) -> tuple:
    """Run ``carry = pair(i, carry, depth, sounding)`` for every pair of steps i, in windows that grow and shrink again.

    The first two entries of the carry are wavefields (*batch, shot, X, Z); in a window they are cut to its depth.
    """
    half, last = layout.steps // 2, len(depths) - 1
    quiet_end = layout.source_steps <= layout.steps // 2  # the windows shrink in the second half
    begin = jnp.concatenate([jnp.zeros(1, jnp.int32), bounds[:-1]])
    visits = [(k, begin[k], bounds[k], True) for k in range(last)]
    visits += [(last, begin[last], half - begin[last], True)]
    visits += [(k, half - bounds[k], half - begin[k], not quiet_end) for k in reversed(range(last))]
    for k, first, stop, sounding in visits:
        u, before, *rest = carry
        cut = (u[..., : depths[k]], before[..., : depths[k]], *rest)
        cut = lax.fori_loop(first, stop, partial(pair, depth=depths[k], sounding=sounding), cut)
        carry = (u.at[..., : depths[k]].set(cut[0]), before.at[..., : depths[k]].set(cut[1]), *cut[2:])
    return carry


class Update:
    """One step, with the coefficients that stay the same throughout."""

    def __init__(self, medium: Medium, source: Source, layout: Layout):
        damp = medium.damp * (layout.step_s / 2)
        total = medium.m + damp
        self.keep = jnp.expand_dims((medium.m - damp) / total, -3)  # the shot axis
        self.move = jnp.expand_dims((layout.step_s / layout.spacing_m) ** 2 / total, -3)
        self.source, self.layout = source, layout

    def step(self, u: Array, before: Array, n: Array, depth: int, sounding: bool) -> Array:
        """The field after u, in the window; the barriers keep XLA from fusing the padding into the stencil."""
        taps = self.layout.taps
        padded = lax.optimization_barrier(stencil.pad(u, len(taps) - 1, self.layout.free_surface))
        force = stencil.laplacian(padded, taps)
        if sounding:
            force += (self.source.terms[n] * self.source.x)[:, :, None] * self.source.z[None, None, :depth]
        return lax.optimization_barrier(u + self.keep[..., :depth] * (u - before) + self.move[..., :depth] * force)
