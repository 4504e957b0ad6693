"""Leapfrog over the padded grid, two steps at a time, forwards and, with the same stencil, backwards.

    m (u+ - 2 u + u-) / dt^2 + damp (u+ - u-) / (2 dt) = laplace(u) + q        m = 1 / v^2

Source term n makes u[n+1] out of u[n] and u[n-1]; the field is zero up to u[0], and row n of a record holds u[n+1] at
the receivers' depth, R u[n+1]. The Laplacian between walls of zeros is symmetric, so the adjoint field p obeys the same
recursion in reverse time, with the record's cotangent g as its source (d = damp dt / 2):

    (m + d) p[n+1] - 2 m p[n+2] + (m - d) p[n+3] = dt^2 laplace(p[n+2]) + R^T g[n]

Both sources are outer products of a line along x and weights in depth, which XLA fuses into the stencil.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata
from jaxtyping import Array, Float

from . import cpml, stencil
from .layout import Acquisition, Layer, Layout, Medium


class Leapfrog:
    """The recursion, with the coefficients that stay the same throughout. Fields are (*batch, shot, X, Z)."""

    def __init__(self, medium: Medium, ends: Acquisition, layout: Layout):
        damp = medium.damp * (layout.step_s / 2)
        damp = jnp.expand_dims(damp, tuple(range(medium.m.ndim - 2)))
        self.square = (layout.step_s / layout.spacing_m) ** 2
        self.total = jnp.expand_dims(medium.m + damp, -3)  # the shot axis
        self.keep = jnp.expand_dims(medium.m - damp, -3) / self.total
        self.move = self.square / self.total
        self.ends, self.layout = ends, layout
        self.zeros = jnp.zeros((*medium.m.shape[:-2], ends.source_x.shape[0], *medium.m.shape[-2:]), medium.m.dtype)

    def empty_record(self) -> Array:
        columns = self.layout.record_slab[0]
        return jnp.zeros((self.layout.steps, *self.zeros[..., columns, 0].shape), self.zeros.dtype)

    def start(self, adjoint: bool) -> tuple[Array, Array, tuple]:
        """Two fields of zeros and the empty memory of the absorbing layers."""
        layout = self.layout
        return self.zeros, self.zeros, tuple(cpml.nothing(self.zeros, a, layout, adjoint) for a in layout.layers)

    def step(
        self, u: Array, before: Array, memory: tuple, force: Array | None, absorb: Callable
    ) -> tuple[Array, tuple]:
        """The field after u, in the window, and the layers' memory.

        The barriers keep XLA from fusing the padding into the stencil.
        """
        memory = tuple(_apart(absorb, u, *pair, self.layout) for pair in zip(memory, self.layout.layers, strict=True))
        taps, depth = self.layout.taps, u.shape[-1]
        padded = lax.optimization_barrier(stencil.pad(u, len(taps) - 1, self.layout.free_surface))
        total = stencil.laplacian(padded, taps)
        if force is not None:
            total += force
        for one in memory:
            total += one.added
        after = u + self.keep[..., :depth] * (u - before) + self.move[..., :depth] * total
        return lax.optimization_barrier(after), memory

    def pair(self, i: Array, fields: tuple, sounding: bool) -> tuple[Array, Array, tuple]:
        """(u[2i], u[2i-1], memory) to (u[2i+2], u[2i+1], memory): the fields change places without a copy."""
        u, before, memory = fields
        after, memory = self.step(u, before, memory, self._force(2 * i, u) if sounding else None, cpml.forward)
        end, memory = self.step(after, u, memory, self._force(2 * i + 1, u) if sounding else None, cpml.forward)
        return end, after, memory

    def note(self, record: Array, i: Array, fields: tuple) -> Array:
        """Write the fields that pair i ended with into the record.

        (Noting the field that it starts from would keep that alive while it is overwritten: XLA would copy it.)
        """
        for n, field in zip((2 * i, 2 * i + 1), fields[1::-1], strict=True):
            record = lax.dynamic_update_index_in_dim(record, heard(field, self.ends, self.layout), n, 0)
        return record

    def _force(self, n: Array, like: Array) -> Array:
        line = self.ends.terms[n] * self.ends.source_x
        return jnp.expand_dims(_spread(line, self.ends.source_z, like), tuple(range(like.ndim - 3)))

    def adjoint_pair(self, i: Array, fields: tuple, lines: Array) -> tuple[Array, Array, tuple]:
        """(p[2i+3], p[2i+4], memory) to (p[2i+1], p[2i+2], memory); ``lines`` comes from ``to_inject``."""
        p, later, memory = fields
        odd, even = (_spread(at(lines, 2 * i + k), self.ends.receiver_z, p) for k in (1, 0))
        between, memory = self.step(p, later, memory, odd, cpml.adjoint)
        end, memory = self.step(between, p, memory, even, cpml.adjoint)
        return end, between, memory

    def to_inject(self, cotangent: Float[Array, "step *batch shot column"]) -> Float[Array, "step *batch shot X"]:
        first, last = self.layout.receiver_columns
        sides = [(0, 0)] * (cotangent.ndim - 1) + [(first, self.zeros.shape[-2] - last)]
        return jnp.pad(cotangent / self.square, sides)

    def hear(self, terms: Array, i: Array, fields: tuple) -> Array:
        """Cotangents of source terms 2i and 2i + 1, from the adjoint fields p[2i+1] and p[2i+2]."""
        foot = self.layout.foot
        for n, field in zip((2 * i, 2 * i + 1), fields[:2], strict=True):
            term = jnp.einsum("...sXZ,sX,Z->", field[..., :foot], self.ends.source_x, self.ends.source_z[:foot])
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
    return jnp.einsum("...Z,Z->...", field[..., columns, rows], ends.receiver_z[rows])


def _spread(line: Float[Array, "*batch X"], weights: Float[Array, " Z"], like: Array) -> Float[Array, "*batch X z"]:
    return jnp.expand_dims(line, -1) * jnp.expand_dims(weights[: like.shape[-1]], tuple(range(line.ndim)))


def at(stack: Array, index: Array) -> Array:
    return lax.dynamic_index_in_dim(stack, index, 0, keepdims=False)
