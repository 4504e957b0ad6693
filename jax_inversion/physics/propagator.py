"""The time loop as one differentiable function: all shots and models at once, with an adjoint-state derivative."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from . import adjoint, windows
from .layout import Acquisition, Layout, Medium
from .leapfrog import Leapfrog


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def propagate(medium: Medium, ends: Acquisition, layout: Layout) -> Float[Array, "step *batch shot column"]:
    """The wavefield at the receivers' depth, in the columns around them, after every step.

    Differentiable in reverse with respect to ``medium.m`` and ``ends.terms``, by the adjoint-state method and with
    the memory policy of the layout. The absorbing layer and the geometry are **not** differentiated: the cotangents of
    ``medium.damp`` and of the weights (unless ``layout.hear``, of ``ends.terms`` too) are zero.
    ``jax.jvp`` is not defined.
    """
    loop = Leapfrog(medium, ends, layout)

    def turn(i, fields, rest, depth, sounding):
        (record,), after = rest, loop.triple(i, fields, sounding)
        return after, (loop.note(record, i, after),)

    start = loop.start(adjoint=False), (loop.empty_record(),)
    return windows.run(turn, *start, windows.bounds(medium.m, layout), layout, 3, reverse=False)[1][0]


def _forward(medium: Medium, ends: Acquisition, layout: Layout) -> tuple[Array, tuple]:
    run = adjoint.store_forward if layout.memory == "store" else adjoint.recompute_forward
    return run(medium, ends, layout)


def _backward(layout: Layout, residual: tuple, cotangent: Array) -> tuple[Medium, Acquisition]:
    run = adjoint.store_backward if layout.memory == "store" else adjoint.recompute_backward
    m_bar, terms = run(layout, residual, cotangent)
    medium, ends = residual[:2]
    return Medium(m_bar, jnp.zeros_like(medium.damp)), jax.tree.map(jnp.zeros_like, ends)._replace(terms=terms)


propagate.defvjp(_forward, _backward)
