"""Leapfrog over the padded grid, two steps at a time, forwards and, with the same stencil, backwards.

    m (u+ - 2 u + u-) / dt^2 + damp (u+ - u-) / (2 dt) = laplace(u) + q        m = 1 / v^2

Source term n makes u[n+1] out of u[n] and u[n-1]; the field is zero up to u[0], and row n of a record holds u[n+1].
The Laplacian between walls of zeros is symmetric, so the adjoint field p obeys the same recursion in reverse time, with
the record's cotangent g as its source (d = damp dt / 2):

    (m + d) p[n+1] - 2 m p[n+2] + (m - d) p[n+3] = dt^2 laplace(p[n+2]) + g[n]
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from . import stencil
from .layout import Layout, Medium, Source


class Leapfrog:
    """The recursion, with the coefficients that stay the same throughout. Fields are (*batch, shot, X, Z)."""

    def __init__(self, medium: Medium, source: Source, layout: Layout):
        damp = medium.damp * (layout.step_s / 2)
        damp = jnp.expand_dims(damp, tuple(range(medium.m.ndim - 2)))
        self.square = (layout.step_s / layout.spacing_m) ** 2
        self.total = jnp.expand_dims(medium.m + damp, -3)  # the shot axis
        self.keep = jnp.expand_dims(medium.m - damp, -3) / self.total
        self.move = self.square / self.total
        self.source, self.layout = source, layout
        self.zeros = jnp.zeros((*medium.m.shape[:-2], source.x.shape[0], *medium.m.shape[-2:]), medium.m.dtype)

    def empty_record(self) -> Array:
        return jnp.zeros((self.layout.steps, *self.zeros[..., *self.layout.record_slab].shape), self.zeros.dtype)

    def step(self, u: Array, before: Array, force: Array | None) -> Array:
        """The field after u, in the window; the barriers keep XLA from fusing the padding into the stencil."""
        taps, depth = self.layout.taps, u.shape[-1]
        padded = lax.optimization_barrier(stencil.pad(u, len(taps) - 1, self.layout.free_surface))
        total = stencil.laplacian(padded, taps)
        if force is not None:
            total += force
        return lax.optimization_barrier(u + self.keep[..., :depth] * (u - before) + self.move[..., :depth] * total)

    def pair(self, i: Array, fields: tuple, sounding: bool) -> tuple[Array, Array]:
        """(u[2i], u[2i-1]) to (u[2i+2], u[2i+1]): the fields change places without a copy."""
        u, before = fields
        after = self.step(u, before, self._force(2 * i, u) if sounding else None)
        return self.step(after, u, self._force(2 * i + 1, u) if sounding else None), after

    def note(self, record: Array, i: Array, fields: tuple) -> Array:
        """Write the fields that pair i ended with into the record.

        (Noting the field that it starts from would keep that alive while it is overwritten: XLA would copy it.)
        """
        slab = self.layout.record_slab
        record = lax.dynamic_update_index_in_dim(record, fields[1][..., *slab], 2 * i, 0)
        return lax.dynamic_update_index_in_dim(record, fields[0][..., *slab], 2 * i + 1, 0)

    def _force(self, n: Array, like: Array) -> Array:
        s = self.source
        force = (s.terms[n] * s.x)[:, :, None] * s.z[None, None, : like.shape[-1]]
        return jnp.expand_dims(force, tuple(range(like.ndim - 3)))

    def adjoint_pair(self, i: Array, fields: tuple, injected: Array) -> tuple[Array, Array]:
        """(p[2i+3], p[2i+4]) to (p[2i+1], p[2i+2]); ``injected`` comes from ``to_inject``."""
        p, later = fields
        between = self._inject(self.step(p, later, None), injected, 2 * i + 1)
        return self._inject(self.step(between, p, None), injected, 2 * i), between

    def to_inject(self, cotangent: Float[Array, "step *batch shot column row"]) -> Array:
        return cotangent / self.total[..., *self.layout.record_slab][None]

    def _inject(self, field: Array, injected: Array, row: Array) -> Array:
        columns, rows = self.layout.record_slab
        slab = field[..., columns, rows] + lax.dynamic_index_in_dim(injected, row, 0, keepdims=False)
        return lax.dynamic_update_slice(field, slab, (*(0,) * (field.ndim - 2), columns.start, rows.start))

    def hear(self, terms: Array, i: Array, fields: tuple) -> Array:
        """Cotangents of source terms 2i and 2i + 1, from the adjoint fields p[2i+1] and p[2i+2]."""
        foot = self.layout.foot
        for n, field in zip((2 * i, 2 * i + 1), fields, strict=True):
            heard = jnp.einsum("...sXZ,sX,Z->", field[..., :foot], self.source.x, self.source.z[:foot])
            terms = lax.dynamic_update_index_in_dim(terms, heard * self.square, n, 0)
        return terms
