"""Leapfrog inside a convolutional perfectly matched layer, which absorbs nearly everything.

Along each axis the derivative d/dx becomes d/dx + psi *, in the form that keeps the second-order equation:

    laplace u  ->  sum over axes of  u_xx + psi_x + zeta     psi' = a psi + b u_x     zeta' = a zeta + b (u_xx + psi'_x)

Komatitsch & Martin (2007), doi:10.1190/1.2757586; Pasalic & McGarry (2010), doi:10.1190/1.3513453. psi and zeta live
in the strips only. The gradient is plain autodiff of checkpointed segments: exact, in little memory, but not fast.
The challenge's own layer reflects low frequencies: to reproduce its data take ``boundary.py``.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from . import stencil
from .layout import Acquisition, Layout
from .leapfrog import heard

WIDTH_CELLS = 20
_REFLECTION = 1e-4  # of the layer at normal incidence, in theory


class Strip(NamedTuple):
    """One side's layer: ``width`` cells from ``first`` along ``axis`` (-2 is x, -1 depth), with its coefficients."""

    axis: int
    first: int
    a: Float[np.ndarray, " width"]
    b: Float[np.ndarray, " width"]


def strips(shape: tuple[int, int], layout: Layout, peak_hz: float, fastest_km_s: float) -> list[Strip]:
    """The sides of a grid. Each strip has some cells of the section, where b is 0, for psi's derivative to reach into.

    Damping grows as the square of the depth into the layer, the frequency shift falls from pi f to zero.
    """
    inside = len(layout.taps) - 1
    p = np.concatenate([(np.arange(WIDTH_CELLS, 0, -1) - 0.5) / WIDTH_CELLS, np.zeros(inside)])
    width_m = WIDTH_CELLS * layout.spacing_m
    sigma = -3 * fastest_km_s * 1e3 * np.log(_REFLECTION) / (2 * width_m) * p**2
    alpha = np.pi * peak_hz * (1 - p)
    a = np.exp(-(sigma + alpha) * layout.step_s)
    b = sigma / (sigma + alpha) * (a - 1)
    sides = []
    for axis in (-2, -1):
        if not (axis == -1 and layout.free_surface):
            sides.append(Strip(axis, 0, a, b))
        sides.append(Strip(axis, shape[axis] - p.size, a[::-1], b[::-1]))
    return sides


def propagate(
    m: Float[Array, "*batch X Z"], ends: Acquisition, layout: Layout, sides: list[Strip]
) -> Float[Array, "step *batch shot column"]:
    """As ``propagator.propagate``: the wavefield at the receivers' depth after every step."""
    zeros = jnp.zeros((*m.shape[:-2], ends.source_x.shape[0], *m.shape[-2:]), m.dtype)
    move = jnp.expand_dims((layout.step_s / layout.spacing_m) ** 2 / m, -3)
    weights = ends.source_x[:, :, None] * ends.source_z[None, None, :]
    weights = jnp.expand_dims(weights, tuple(range(m.ndim - 2)))

    def step(state, term):
        u, before, memory = state
        padded = stencil.pad(u, len(layout.taps) - 1, layout.free_surface)
        force = stencil.laplacian(padded, layout.taps) + term * weights
        memory = [_absorb(padded, *parts, side, layout) for parts, side in zip(memory, sides, strict=True)]
        for (_, _, added), side in zip(memory, sides, strict=True):
            force = force.at[_cut(side)].add(added)
        after = 2 * u - before + move * force
        return (after, u, [parts[:2] for parts in memory]), heard(after, ends, layout)

    length = int(np.ceil(np.sqrt(layout.steps)))
    segments = -(-layout.steps // length)
    terms = jnp.pad(ends.terms, (0, segments * length - layout.steps)).reshape(segments, length)
    start = zeros, zeros, [(zeros[_cut(side)],) * 2 for side in sides]
    _, record = lax.scan(jax.checkpoint(lambda state, terms: lax.scan(step, state, terms)), start, terms)
    return record.reshape(-1, *record.shape[2:])[: layout.steps]


def _absorb(padded: Array, psi: Array, zeta: Array, side: Strip, layout: Layout) -> tuple[Array, Array, Array]:
    """psi and zeta of the next step and what they add to the Laplacian (in units of the spacing) in the strip."""
    a, b = (_along(c, side.axis, psi) for c in (side.a, side.b))
    margin = len(layout.taps) - 1
    other = -3 - side.axis
    u = lax.slice_in_dim(padded, side.first, side.first + side.a.size + 2 * margin, axis=side.axis)
    u = lax.slice_in_dim(u, margin, u.shape[other] - margin, axis=other)
    psi = a * psi + b * stencil.slope(u, side.axis, margin)
    sides = [(0, 0)] * psi.ndim
    sides[side.axis] = (margin, margin)
    bent = stencil.slope(jnp.pad(psi, sides), side.axis, margin)
    zeta = a * zeta + b * (stencil.curvature(u, side.axis, layout.taps) + bent)
    return psi, zeta, bent + zeta


def _along(values: np.ndarray, axis: int, like: Array) -> Array:
    shape = [1] * like.ndim
    shape[axis] = values.size
    return jnp.asarray(values.reshape(shape), like.dtype)


def _cut(side: Strip) -> tuple:
    span = slice(side.first, side.first + side.a.size)
    return (..., span, slice(None)) if side.axis == -2 else (..., span)
