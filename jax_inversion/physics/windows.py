"""Windows in depth: the time loop leaves out cells that no recorded wave visits.

Cells that the wave has not reached yet, or that it can no longer leave for a receiver in time, are left out: the loop
runs over windows that grow and shrink in depth, with bounds computed from the fastest velocity at each depth. This is
exact (Dirichlet walls that no recorded energy meets) and about halves the work. The adjoint field runs the same windows
backwards: cutting a field and setting it into zeros are each other's transpose, so it stays the exact adjoint.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float, Int

from .layout import Layout

_WINDOWS = 5
_GUARD_CELLS = 6


def depths(layout: Layout) -> tuple[int, ...]:
    """Feet of the windows, in cells; the last is the whole grid."""
    first = layout.foot + 4 * _GUARD_CELLS
    if not layout.windows or first >= layout.nz:
        return (layout.nz,)
    return tuple(int(d) for d in np.unique(np.linspace(first, layout.nz, _WINDOWS).round()))


def bounds(m: Float[Array, "*batch X Z"], layout: Layout) -> Int[Array, " window"]:
    """Step at which the wave may reach the foot of each window: a lower bound over batch and x."""
    feet = depths(layout)

    @custom_vmap
    def least(m: Array) -> Array:
        slowness = jnp.sqrt(jnp.min(m, axis=tuple(range(m.ndim - 1))))
        seconds = jnp.cumsum(jnp.where(jnp.arange(slowness.size) < layout.foot, 0, slowness)) * layout.spacing_m
        reached = jnp.array([seconds[max(d - _GUARD_CELLS, 0)] for d in feet])
        return jnp.clip((reached / layout.step_s).astype(jnp.int32), 0, layout.steps // 2)

    # All of a batch shares one loop: under vmap too the bounds are those of the fastest member.
    least.def_vmap(lambda size, batched, m: (least(m), False))
    return least(m)


def run(turn, fields: tuple, rest: tuple, bounds: Int[Array, " window"], layout: Layout, steps: int, reverse: bool):
    """Run ``fields, rest = turn(i, fields, rest, depth, sounding)`` for every i, ``steps`` steps a turn.

    ``fields`` are arrays (..., Z) of the grid's depth, some with a rim of zeros around them, cut to the window's
    depth; ``rest`` is handed on whole. ``sounding`` is False where the source is known to be silent. ``reverse`` runs
    through the same turns from the last to the first.
    """
    feet = depths(layout)
    for depth, first, stop, sounding in _visits(feet, bounds // steps, layout, steps)[:: -1 if reverse else 1]:

        def body(k, carry, depth=depth, first=first, stop=stop, sounding=sounding):
            return turn(stop - 1 - k if reverse else first + k, *carry, depth, sounding)

        if depth == feet[-1]:
            fields, rest = lax.fori_loop(0, stop - first, body, (fields, rest))
            continue
        cut = jax.tree.map(lambda f, depth=depth: _cut(f, depth, (f.shape[-1] - layout.nz) // 2), fields)
        cut, rest = lax.fori_loop(0, stop - first, body, (cut, rest))
        fields = jax.tree.map(lambda f, c: f.at[..., : c.shape[-1]].set(c), fields, cut)
    return fields, rest


def _cut(field: Array, depth: int, rim: int) -> Array:
    return field[..., : depth + 2 * rim].at[..., depth + rim :].set(0) if rim else field[..., :depth]


def _visits(feet: tuple[int, ...], grown: Int[Array, " window"], layout: Layout, steps: int) -> list[tuple]:
    """(depth, first turn, last turn plus one, sounding) of each window, as they follow each other."""
    turns, last = layout.steps // steps, len(feet) - 1
    if last == 0:
        return [(feet[0], 0, turns, True)]
    quiet_end = layout.source_steps <= layout.steps // 2  # the windows shrink in the second half
    begin = [0, *grown[:-1]]
    visits = [(feet[k], begin[k], grown[k], True) for k in range(last)]
    visits += [(feet[last], begin[last], turns - begin[last], True)]
    return visits + [(feet[k], turns - grown[k], turns - begin[k], not quiet_end) for k in reversed(range(last))]
