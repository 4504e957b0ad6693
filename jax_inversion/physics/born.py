"""The leapfrog loop linearised in the medium: a small change of m sends out a second field, the Born field.

With u the field in m and du the change that dm makes (d = damp dt / 2, as in leapfrog.py),

    (m + d) du[n+1] - 2 m du[n] + (m - d) du[n-1] = dt^2 laplace(du[n]) - dm (u[n+1] - 2 u[n] + u[n-1])

the derivative of the discrete recursion (Tarantola 1984, doi:10.1190/1.1441754, for the equation). The second time
differences of u are those that the adjoint-state gradient keeps, one step in a few milliseconds, each standing for all
of its turn. So this map and ``adjoint.store_backward`` are each other's exact transpose, whatever is left out.
"""

import jax.numpy as jnp
from jaxtyping import Array

from . import adjoint, cpml, windows
from .layout import Layout
from .leapfrog import Leapfrog, at


def record(layout: Layout, residual: tuple, change: Array) -> Array:
    """The change of the record that a change (*batch, X, Z) of m makes; ``residual`` is from ``store_forward``."""
    medium, ends, bounds, kept = residual
    loop = Leapfrog(medium, ends, layout)
    sent = -(3 * layout.keep_triples or 1) / loop.square * jnp.expand_dims(change, -3)

    def turn(g, fields, rest, depth, sounding):
        (heard,), differences = rest, adjoint.unpacked(at(kept, g)[..., :depth], sent.dtype)
        forces = [None] * (3 - len(differences)) + [sent[..., :depth] * one for one in differences]
        for k in range(layout.turn):
            i = g * layout.turn + k
            for force in forces if k == 0 else [None] * 3:
                fields = loop.step(fields, force, cpml.forward)
            heard = loop.note(heard, i, fields)
        return fields, (heard,)

    start = loop.start(adjoint=False), (loop.empty_record(),)
    return windows.run(turn, *start, bounds, layout, 3 * layout.turn, reverse=False)[1][0]
