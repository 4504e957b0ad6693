"""Leapfrog over the padded grid, three steps at a time, forwards and, with the same stencil, backwards.

    m (u+ - 2 u + u-) / dt^2 + damp (u+ - u-) / (2 dt) = laplace(u) + q        m = 1 / v^2

Source term n makes u[n+1] out of u[n] and u[n-1]; the field is zero up to u[0], and row n of a record holds u[n+1] at
the receivers' depth, R u[n+1]. The Laplacian between walls of zeros is symmetric, so the adjoint field p obeys the same
recursion in reverse time, with the record's cotangent g as its source (d = damp dt / 2):

    (m + d) p[n+1] - 2 m p[n+2] + (m - d) p[n+3] = dt^2 laplace(p[n+2]) + R^T g[n]

Both sources are outer products of a line along x and weights in depth, which XLA fuses into the stencil.

Where ``layout.in_place`` is set, fields carry a rim of zeros as wide as the stencil's reach, and each step is written
over the field of three steps ago. Without a padded copy a step takes two thirds of the time on one thread, but XLA
writes in place on one thread only. On two threads both take about as long with windows, padding less without.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata
from jaxtyping import Array, Float

from ..arrays import EXACT
from . import cpml, stencil
from .layout import Acquisition, Layer, Layout, Medium


class Leapfrog:
    """The recursion, with the coefficients that stay the same throughout. Fields are (*batch, shot, X, Z).

    The loops carry ``(newest, one before, two before, memory of the absorbing layers)``: after three steps each field
    is where it was, so that XLA needs no copies.
    """

    def __init__(self, medium: Medium, ends: Acquisition, layout: Layout):
        damp = medium.damp * (layout.step_s / 2)
        damp = jnp.expand_dims(damp, tuple(range(medium.m.ndim - 2)))
        self.square = (layout.step_s / layout.spacing_m) ** 2
        self.total = jnp.expand_dims(medium.m + damp, -3)  # the shot axis
        self.keep = jnp.expand_dims(medium.m - damp, -3) / self.total
        self.move = self.square / self.total
        self.ends, self.layout = ends, layout
        self.reach = len(layout.taps) - 1
        self.zeros = jnp.zeros((*medium.m.shape[:-2], ends.source_x.shape[0], *medium.m.shape[-2:]), medium.m.dtype)

    def empty_record(self) -> Array:
        columns = self.layout.record_slab[0]
        return jnp.zeros((self.layout.steps, *self.zeros[..., columns, 0].shape), self.zeros.dtype)

    def start(self, adjoint: bool) -> tuple[Array, Array, Array, tuple]:
        """Fields of zeros and the empty memory of the absorbing layers."""
        layout = self.layout
        blank = stencil.pad(self.zeros, self.reach) if layout.in_place else self.zeros
        return blank, blank, blank, tuple(cpml.nothing(self.zeros, a, layout, adjoint) for a in layout.layers)

    def inside(self, field: Array) -> Array:
        """A field without its rim."""
        r = self.reach
        return field[..., r:-r, r:-r] if self.layout.in_place else field

    def step(self, fields: tuple, force: Array | None, absorb: Callable) -> tuple:
        """One step on, in the window; the barriers keep XLA from fusing the padding into the stencil."""
        (u, before, outworn, memory), layout = fields, self.layout
        inner, earlier = self.inside(u), self.inside(before)
        memory = tuple(_apart(absorb, inner, *pair, layout) for pair in zip(memory, layout.layers, strict=True))
        padded = u if layout.in_place else lax.optimization_barrier(stencil.pad(u, self.reach, layout.free_surface))
        total = stencil.laplacian(padded, layout.taps)
        for added in (*(one.added for one in memory), *([] if force is None else [force])):
            total += added
        depth = inner.shape[-1]
        after = inner + self.keep[..., :depth] * (inner - earlier) + self.move[..., :depth] * total
        if layout.in_place:
            after = lax.dynamic_update_slice(outworn, after, (*(0,) * (u.ndim - 2), self.reach, self.reach))
        else:
            after = lax.optimization_barrier(after)
        return after, u, before, memory

    def triple(self, i: Array, fields: tuple, sounding: bool) -> tuple:
        """From u[3i] as the newest to u[3i+3]."""
        for n in (3 * i, 3 * i + 1, 3 * i + 2):
            fields = self.step(fields, self._force(n, self.inside(fields[0])) if sounding else None, cpml.forward)
        return fields

    def note(self, record: Array, i: Array, fields: tuple) -> Array:
        """Write the fields that triple i ended with into the record.

        (Noting a field that it starts from would keep that alive while it is overwritten: XLA would copy it.)
        """
        for n, field in zip((3 * i, 3 * i + 1, 3 * i + 2), fields[2::-1], strict=True):
            here = heard(self.inside(field), self.ends, self.layout)
            record = lax.dynamic_update_index_in_dim(record, here, n, 0)
        return record

    def _force(self, n: Array, like: Array) -> Array:
        line = self.ends.terms[n] * self.ends.source_x
        return jnp.expand_dims(_spread(line, self.ends.source_z, like), tuple(range(like.ndim - 3)))

    def adjoint_triple(self, i: Array, fields: tuple, lines: Array) -> tuple:
        """From p[3i+4] as the newest to p[3i+1]; ``lines`` comes from ``to_inject``."""
        for n in (3 * i + 2, 3 * i + 1, 3 * i):
            answer = _spread(at(lines, n), self.ends.receiver_z, self.inside(fields[0]))
            fields = self.step(fields, answer, cpml.adjoint)
        return fields

    def to_inject(self, cotangent: Float[Array, "step *batch shot column"]) -> Float[Array, "step *batch shot X"]:
        first, last = self.layout.receiver_columns
        sides = [(0, 0)] * (cotangent.ndim - 1) + [(first, self.zeros.shape[-2] - last)]
        return jnp.pad(cotangent / self.square, sides)

    def hear(self, terms: Array, i: Array, fields: tuple) -> Array:
        """Cotangents of source terms 3i, 3i + 1 and 3i + 2, from the adjoint fields p[3i+1], p[3i+2] and p[3i+3]."""
        foot = self.layout.foot
        for n, field in zip((3 * i, 3 * i + 1, 3 * i + 2), fields[:3], strict=True):
            above = self.inside(field)[..., :foot]
            term = jnp.einsum("...sXZ,sX,Z->", above, self.ends.source_x, self.ends.source_z[:foot], precision=EXACT)
            terms = lax.dynamic_update_index_in_dim(terms, term * self.square, n, 0)
        return terms


def _apart(absorb: Callable, u: Array, memory: cpml.Memory, layer: Layer, layout: Layout) -> cpml.Memory:
    """``absorb``, kept by itself on a CPU: XLA would compute psi anew for each of its uses."""
    if jax.default_backend() != "cpu":
        return absorb(u, memory, layer, layout)
    with set_xla_metadata(inlineable="false"):
        return jax.jit(absorb, static_argnums=(2, 3))(u, memory, layer, layout)


def heard(field: Float[Array, "*batch X Z"], ends: Acquisition, layout: Layout) -> Float[Array, "*batch column"]:
    """A field at the receivers' depth, in the columns that they touch."""
    columns, rows = layout.record_slab
    return jnp.einsum("...Z,Z->...", field[..., columns, rows], ends.receiver_z[rows], precision=EXACT)


def _spread(line: Float[Array, "*batch X"], weights: Float[Array, " Z"], like: Array) -> Float[Array, "*batch X z"]:
    return jnp.expand_dims(line, -1) * jnp.expand_dims(weights[: like.shape[-1]], tuple(range(line.ndim)))


def at(stack: Array, index: Array) -> Array:
    return lax.dynamic_index_in_dim(stack, index, 0, keepdims=False)
