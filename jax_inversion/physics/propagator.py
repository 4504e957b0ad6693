"""The time loop as one differentiable function: all shots and models at once, with an adjoint-state derivative."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from . import adjoint, windows
from .layout import Layout, Medium, Source
from .leapfrog import Leapfrog


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def propagate(medium: Medium, source: Source, layout: Layout) -> Float[Array, "step *batch shot column row"]:
    """The wavefield in the cells around the receivers after every step.

    Differentiable in reverse with respect to ``medium.m`` and ``source.terms``, by the adjoint-state method and with
    the memory policy of the layout. The absorbing layer and the geometry are **not** differentiated: the cotangents of
    ``medium.damp``, ``source.x`` and ``source.z`` (unless ``layout.hear``, of ``source.terms`` too) are zero.
    ``jax.jvp`` is not defined.
    """
    loop = Leapfrog(medium, source, layout)

    def turn(i, fields, rest, depth, sounding):
        after = loop.pair(i, fields, sounding)
        return after, (loop.note(*rest, i, after),)

    start = (loop.zeros, loop.zeros), (loop.empty_record(),)
    return windows.run(turn, *start, windows.bounds(medium.m, layout), layout, 1, reverse=False)[1][0]


def _forward(medium: Medium, source: Source, layout: Layout) -> tuple[Array, tuple]:
    run = adjoint.store_forward if layout.memory == "store" else adjoint.recompute_forward
    return run(medium, source, layout)


def _backward(layout: Layout, residual: tuple, cotangent: Array) -> tuple[Medium, Source]:
    run = adjoint.store_backward if layout.memory == "store" else adjoint.recompute_backward
    m_bar, terms = run(layout, residual, cotangent)
    medium, source = residual[:2]
    return Medium(m_bar, jnp.zeros_like(medium.damp)), Source(terms, jnp.zeros_like(source.x), jnp.zeros_like(source.z))


propagate.defvjp(_forward, _backward)
