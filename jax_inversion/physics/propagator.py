"""The time loop: leapfrog over the padded grid, all shots and models at once.

    m (u+ - 2 u + u-) / dt^2 + damp (u+ - u-) / (2 dt) = laplace(u) + q        m = 1 / v^2

Row k of a line is the wavefield at step k; source term k enters the wavefield of step k + 1.

Cells that the wave has not reached yet, or that it can no longer leave for a receiver in time, are left out: the loop runs
over windows that grow and shrink in depth, with bounds computed from the fastest velocity at each depth. This is exact
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

_WINDOWS = 8
_GUARD_CELLS = 6


class Layout(NamedTuple):
    """What the loop must know at compile time. All lengths in cells and steps."""

    spacing_m: float
    step_s: float
    steps: int
    taps: tuple[float, ...]
    source_rows: tuple[int, int]
    receiver_rows: tuple[int, int]
    free_surface: bool
    windows: bool


class Medium(NamedTuple):
    """m = slowness squared in s^2/m^2 (*batch, X, Z) and the damping in s/m^2 (X, Z), both on the padded grid."""

    m: Float[Array, "*batch X Z"]
    damp: Float[Array, "X Z"]


class Acquisition(NamedTuple):
    """Sinc weights: of each shot along x and the source's depth rows, and of the receivers' depth rows."""

    source_x: Float[Array, "shot X"]
    source_z: Float[Array, " rows"]
    receiver_z: Float[Array, " rows"]


def window_bounds(medium: Medium, layout: Layout, depths: tuple[int, ...]) -> Int[Array, " window"]:
    """Pair of steps at which the wave may reach the foot of each window: a lower bound over batch and x."""
    first = max(layout.source_rows[1], layout.receiver_rows[1])
    slowest = jnp.sqrt(jnp.min(medium.m, axis=tuple(range(medium.m.ndim - 1))))
    seconds = jnp.cumsum(jnp.where(jnp.arange(slowest.size) < first, 0, slowest)) * layout.spacing_m
    feet = jnp.array([seconds[max(d - _GUARD_CELLS, 0)] for d in depths])
    half = layout.steps // 4
    return jnp.clip((feet / layout.step_s / 2).astype(jnp.int32), 0, half)


def window_depths(nz: int, layout: Layout) -> tuple[int, ...]:
    """Feet of the windows, in cells; the last is the whole grid."""
    first = max(layout.source_rows[1], layout.receiver_rows[1]) + 4 * _GUARD_CELLS
    if not layout.windows or first >= nz:
        return (nz,)
    return tuple(int(d) for d in np.unique(np.linspace(first, nz, _WINDOWS).round()))


@partial(jax.jit, static_argnames=("layout",))
def propagate(
    medium: Medium, acquisition: Acquisition, source: Float[Array, " step"], layout: Layout
) -> Float[Array, "step *batch shot X"]:
    """Wavefield along the receivers' depth at every step (rows combined by the sinc weights), for all x.

    ``source`` holds one term a step, in amplitude times m^2 (a unit point source).
    """
    depths = window_depths(medium.m.shape[-1], layout)
    update = _Update(medium, acquisition, source, layout)
    start = jnp.zeros((*medium.m.shape[:-2], acquisition.source_x.shape[0], *medium.m.shape[-2:]), medium.m.dtype)
    lines = jnp.zeros((layout.steps, *start.shape[:-1]), start.dtype)

    def pair(i: Array, carry: tuple, depth: int) -> tuple:
        u, before, lines = carry
        lines = update.record(lines, u, 2 * i)
        after = update.step(u, before, 2 * i, depth)
        lines = update.record(lines, after, 2 * i + 1)
        return update.step(after, u, 2 * i + 1, depth), after, lines

    return run_windows(pair, (start, start, lines), depths, window_bounds(medium, layout, depths), layout)[2]


def run_windows(pair, carry: tuple, depths: tuple[int, ...], bounds: Int[Array, " window"], layout: Layout) -> tuple:
    """Run ``carry = pair(i, carry, depth)`` for every pair of steps i, in windows that grow and shrink again.

    The first two entries of the carry are wavefields (*batch, shot, X, Z); in a window they are cut to its depth.
    """
    half, last = layout.steps // 2, len(depths) - 1
    if last == 0:
        return lax.fori_loop(0, half, lambda i, c: pair(i, c, depths[0]), carry)
    begin = jnp.concatenate([jnp.zeros(1, jnp.int32), bounds[:-1]])
    visits = [(k, begin[k], bounds[k]) for k in range(last)]
    visits += [(last, begin[last], half - begin[last])]
    visits += [(k, half - bounds[k], half - begin[k]) for k in reversed(range(last))]
    for k, first, stop in visits:
        u, before, *rest = carry
        cut = (u[..., : depths[k]], before[..., : depths[k]], *rest)
        cut = lax.fori_loop(first, stop, lambda i, c, d=depths[k]: pair(i, c, d), cut)
        carry = (u.at[..., : depths[k]].set(cut[0]), before.at[..., : depths[k]].set(cut[1]), *cut[2:])
    return carry


class _Update:
    """One step, and one recording, with the coefficients that stay the same throughout."""

    def __init__(self, medium: Medium, acquisition: Acquisition, source: Array, layout: Layout):
        damp = medium.damp * (layout.step_s / 2)
        total = medium.m + damp
        self.keep = jnp.expand_dims((medium.m - damp) / total, -3)  # the shot axis
        self.move = jnp.expand_dims((layout.step_s / layout.spacing_m) ** 2 / total, -3)
        self.acquisition, self.source, self.layout = acquisition, source, layout
        r0, r1 = layout.source_rows
        weights = acquisition.source_x[:, :, None] * acquisition.source_z[None, None, :]
        self.inject = weights * self.move[..., r0:r1]

    def step(self, u: Array, before: Array, n: Array, depth: int) -> Array:
        """The field after u, in the window; the barriers keep XLA from fusing the padding into the stencil."""
        margin = len(self.layout.taps) - 1
        padded = lax.optimization_barrier(stencil.pad(u, margin, self.layout.free_surface))
        curvature = stencil.laplacian(padded, self.layout.taps)
        after = u + self.keep[..., :depth] * (u - before) + self.move[..., :depth] * curvature
        after = lax.optimization_barrier(after)
        r0, r1 = self.layout.source_rows
        return after.at[..., r0:r1].add(self.inject * self.source[n])

    def record(self, lines: Array, u: Array, n: Array) -> Array:
        r0, r1 = self.layout.receiver_rows
        line = jnp.einsum("...z,z->...", u[..., r0:r1], self.acquisition.receiver_z)
        return lines.at[n].set(line)
