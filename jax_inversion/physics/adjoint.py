"""Adjoint-state gradient of the leapfrog loop, with the second time difference of the forward field kept on the way.

With p the adjoint field (see leapfrog.py), the cotangents are

    m_bar = - sum_n p[n+1] (u[n+1] - 2 u[n] + u[n-1])        q_bar[n] = dt^2 <w, p[n+1]>

with w the source's weights: Plessix (2006), doi:10.1111/j.1365-246X.2006.02978.x. When every step is kept this is the
exact derivative of the discrete loop. The fields are so much oversampled that one step in a few milliseconds gives the
same sum.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from . import windows
from .layout import Acquisition, Layout, Medium
from .leapfrog import Leapfrog, at


def forward_turn(loop: Leapfrog, g: Array, fields: tuple, record: Array | None, kept: Array, slot: Array, sounding):
    """Advance one turn; put the second difference of its third step (all steps: of each) into ``kept[slot]``."""

    def triple(i: Array, carry: tuple) -> tuple:
        fields, record = carry
        after = loop.triple(i, fields, sounding)
        return after, None if record is None else loop.note(record, i, after)

    first = g * loop.layout.turn
    u, before = map(loop.inside, fields[:2])
    fields, record = triple(first, (fields, record))
    third, second, one = map(loop.inside, fields[:3])
    differences = [third - 2 * second + one]
    if not loop.layout.keep_triples:
        differences = [one - 2 * u + before, second - 2 * one + u, *differences]
    update = _packed(jnp.stack(differences), loop.layout)[None]
    kept = lax.dynamic_update_slice(kept, update, (slot, *(jnp.zeros_like(slot),) * (kept.ndim - 1)))
    if loop.layout.turn > 1:
        fields, record = lax.fori_loop(first + 1, first + loop.layout.turn, triple, (fields, record))
    return fields, record, kept


def backward_turn(loop: Leapfrog, g: Array, fields: tuple, images: Array, terms: Array, kept: Array, lines, sounding):
    """Take the adjoint fields back through turn g, add its part to the cotangents; ``kept`` is forward_turn's slot."""

    def triple(k: Array, carry: tuple) -> tuple:
        fields, terms = carry
        i = (g + 1) * loop.layout.turn - 1 - k
        fields = loop.adjoint_triple(i, fields, lines)
        return fields, loop.hear(terms, i, fields) if sounding and loop.layout.hear else terms

    fields, terms = lax.fori_loop(0, loop.layout.turn, triple, (fields, terms))
    for field, difference in zip(fields[3 - kept.shape[0] : 3], kept, strict=True):
        field = loop.inside(field)
        images = images + field * unpacked(difference[..., : field.shape[-1]], field.dtype)
    return fields, images, terms


def to_model(images: Array, layout: Layout) -> Array:
    """Cotangent of m: the images of all shots (summed only here: at every turn it would cost as much as a step)."""
    return -(3 * layout.keep_triples or 1) * images.sum(axis=-3)


def empty_kept(turns: int, loop: Leapfrog) -> Array:
    """Room for ``turns`` turns, not filled: cells outside the window are never read."""
    per_turn, half = 1 if loop.layout.keep_triples else 3, loop.layout.keep_half
    return lax.empty((turns, per_turn, *loop.zeros.shape), jnp.uint16 if half else loop.zeros.dtype)


def store_forward(medium: Medium, ends: Acquisition, layout: Layout) -> tuple[Array, tuple]:
    """The record, and what ``store_backward`` wants to know."""
    loop, bounds = Leapfrog(medium, ends, layout), windows.bounds(medium.m, layout)

    def turn(g, fields, rest, depth, sounding):
        fields, *rest = forward_turn(loop, g, fields, *rest, slot=g, sounding=sounding)
        return fields, tuple(rest)

    start = loop.start(adjoint=False), (loop.empty_record(), empty_kept(layout.steps // 3 // layout.turn, loop))
    _, (record, kept) = windows.run(turn, *start, bounds, layout, 3 * layout.turn, reverse=False)
    return record, (medium, ends, bounds, kept)


def store_backward(layout: Layout, residual: tuple, cotangent: Array) -> tuple:
    """Cotangents of m and of the source terms."""
    medium, ends, bounds, kept = residual
    loop = Leapfrog(medium, ends, layout)
    lines = loop.to_inject(cotangent)

    def turn(g, fields, rest, depth, sounding):
        (*fields, images), (terms,) = fields, rest
        fields, images, terms = backward_turn(loop, g, tuple(fields), images, terms, at(kept, g), lines, sounding)
        return (*fields, images), (terms,)

    start = (*loop.start(adjoint=True), loop.zeros), (jnp.zeros_like(ends.terms),)
    (*_, images), (terms,) = windows.run(turn, *start, bounds, layout, 3 * layout.turn, reverse=True)
    return to_model(images, layout), terms


def recompute_forward(medium: Medium, ends: Acquisition, layout: Layout) -> tuple[Array, tuple]:
    """As ``store_forward``, but keeping only the fields at the start of each segment; no windows."""
    loop = Leapfrog(medium, ends, layout)
    segments, length, turns = _segments(layout)

    def triple(i: Array, carry: tuple) -> tuple:
        fields, record = carry
        after = loop.triple(i, fields, sounding=True)
        return after, loop.note(record, i, after)

    def segment(s: Array, carry: tuple) -> tuple:
        fields, record, checkpoints = carry
        checkpoints = jax.tree.map(lambda kept, f: lax.dynamic_update_index_in_dim(kept, f, s, 0), checkpoints, fields)
        stop = jnp.minimum((s + 1) * length, turns)
        fields, record = lax.fori_loop(s * length * layout.turn, stop * layout.turn, triple, (fields, record))
        return fields, record, checkpoints

    fields = loop.start(adjoint=False)
    checkpoints = jax.tree.map(lambda f: lax.empty((segments, *f.shape), f.dtype), fields)
    start = fields, loop.empty_record(), checkpoints
    _, record, checkpoints = lax.fori_loop(0, segments, segment, start)
    return record, (medium, ends, checkpoints)


def recompute_backward(layout: Layout, residual: tuple, cotangent: Array) -> tuple:
    """Cotangents of m and of the source terms; each segment is run again from its checkpoint."""
    medium, ends, checkpoints = residual
    loop = Leapfrog(medium, ends, layout)
    segments, length, turns = _segments(layout)
    lines = loop.to_inject(cotangent)

    def segment(k: Array, carry: tuple) -> tuple:
        first = (segments - 1 - k) * length
        stop = jnp.minimum(first + length, turns)

        def again(g, carry):
            fields, kept = carry
            fields, _, kept = forward_turn(loop, g, fields, None, kept, g - first, sounding=True)
            return fields, kept

        begin = jax.tree.map(lambda kept: at(kept, segments - 1 - k), checkpoints)
        kept = lax.fori_loop(first, stop, again, (begin, empty_kept(length, loop)))[1]

        def back(j, carry):
            g = stop - 1 - j
            fields, images, terms = carry
            return backward_turn(loop, g, fields, images, terms, at(kept, g - first), lines, sounding=True)

        return lax.fori_loop(0, stop - first, back, carry)

    start = loop.start(adjoint=True), loop.zeros, jnp.zeros_like(ends.terms)
    _, images, terms = lax.fori_loop(0, segments, segment, start)
    return to_model(images, layout), terms


def _segments(layout: Layout) -> tuple[int, int, int]:
    """Segments, turns in each (the last may have fewer), and turns in all: about the least memory."""
    turns = layout.steps // 3 // layout.turn
    length = math.ceil(math.sqrt(turns))
    return math.ceil(turns / length), length, turns


def _packed(field: Array, layout: Layout) -> Array:
    """As bfloat16 on request; as plain bits, since XLA on a CPU would convert the whole store at every write."""
    return lax.bitcast_convert_type(field.astype(jnp.bfloat16), jnp.uint16) if layout.keep_half else field


def unpacked(kept: Array, dtype: jnp.dtype) -> Array:
    return lax.bitcast_convert_type(kept, jnp.bfloat16).astype(dtype) if kept.dtype == jnp.uint16 else kept
