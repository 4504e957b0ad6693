"""A convolutional perfectly matched layer, which absorbs nearly everything, and its adjoint.

Along each axis the derivative D = d/dx becomes D + psi *, in the form that keeps the second-order equation:

    laplace u  ->  laplace u + sum over axes of  D psi' + zeta'
    psi' = a psi + b D u        zeta' = a zeta + b (D^2 u + D psi')

Komatitsch & Martin (2007), doi:10.1190/1.2757586; Pasalic & McGarry (2010), doi:10.1190/1.3513453. Between walls of
zeros the central differences are antisymmetric (D) and symmetric (D^2), so the transpose, backwards in time, is

    laplace p  ->  laplace p + sum over axes of  D^2 b zeta' - D b psi'
    zeta' = a zeta + p      psi' = a psi - D (p + b zeta')

The challenge's own layer reflects low frequencies: to reproduce its data take ``boundary.py``.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from .layout import Layer, Layout
from .stencil import curvature, slope

WIDTH_CELLS = 20
_REFLECTION = 1e-4  # of the layer at normal incidence, in theory


class Memory(NamedTuple):
    """What the layers of one axis remember: psi and zeta in the strips alone, and what they add to the Laplacian.

    ``added`` is a whole field (zero outside the strips) that is updated in place: the stencil reads it as it is.
    """

    psi: Float[Array, "*batch X Z"]
    zeta: Float[Array, "*batch X Z"]
    added: Float[Array, "*batch X Z"]


def layers(
    margin: int, spacing_m: float, step_s: float, free_surface: bool, peak_hz: float, fastest_km_s: float
) -> tuple[Layer, Layer]:
    """The ``Layer`` of each axis. Damping grows as the square of the depth, the frequency shift falls from pi f to 0.

    ``margin`` is the reach of the stencil: so many cells of the section, where b is 0, lie on the inner side of each
    strip for the derivatives of psi to reach into.
    """
    p = np.concatenate([(np.arange(WIDTH_CELLS, 0, -1) - 0.5) / WIDTH_CELLS, np.zeros(margin)])
    sigma = -3 * fastest_km_s * 1e3 * np.log(_REFLECTION) / (2 * WIDTH_CELLS * spacing_m) * p**2
    alpha = np.pi * peak_hz * (1 - p)
    a = np.exp(-(sigma + alpha) * step_s)
    b = sigma / (sigma + alpha) * (a - 1)
    far = Layer(-1, False, tuple(map(float, a[::-1])), tuple(map(float, b[::-1])))
    both = Layer(-2, True, far.a[::-1] + far.a, far.b[::-1] + far.b)
    return both, far if free_surface else both._replace(axis=-1)


def nothing(zeros: Array, layer: Layer, layout: Layout, adjoint: bool) -> Memory:
    """Memory before the first step; the adjoint's zeta has a rim of zeros."""
    margin = len(layout.taps) - 1
    psi, zeta = (jnp.zeros_like(_strip(zeros, layer, rim)) for rim in (margin, 2 * margin if adjoint else 0))
    return Memory(psi, zeta, zeros)


def forward(u: Array, memory: Memory, layer: Layer, layout: Layout) -> Memory:
    """Memory after a step, from the field that its Laplacian is taken of."""
    axis, margin = layer.axis, len(layout.taps) - 1
    u = _strip(u, layer, 2 * margin)
    psi = _along(layer.a, layer, margin, u) * memory.psi + _along(layer.b, layer, margin, u) * slope(u, axis, margin)
    bent = slope(psi, axis, margin)
    straight = curvature(_trimmed(u, axis, margin), axis, layout.taps)
    zeta = _along(layer.a, layer, 0, u) * memory.zeta + _along(layer.b, layer, 0, u) * (straight + bent)
    return Memory(psi, zeta, _placed(bent + zeta, memory.added, layer))


def adjoint(p: Array, memory: Memory, layer: Layer, layout: Layout) -> Memory:
    """Memory of the adjoint field after a step back."""
    axis, margin = layer.axis, len(layout.taps) - 1
    p = _strip(p, layer, 2 * margin)
    zeta = _along(layer.a, layer, 2 * margin, p) * memory.zeta + p
    weighted = _along(layer.b, layer, 2 * margin, p) * zeta
    psi = _along(layer.a, layer, margin, p) * memory.psi - slope(p + weighted, axis, margin)
    added = curvature(_trimmed(weighted, axis, margin), axis, layout.taps)
    added -= slope(_along(layer.b, layer, margin, p) * psi, axis, margin)
    return Memory(psi, zeta, _placed(added, memory.added, layer))


def _strip(field: Array, layer: Layer, rim: int) -> Array:
    """The layer's cells of a field, both ends side by side, with ``rim`` zeros before and behind."""
    size, width = field.shape[layer.axis], layer.width
    ends = [lax.slice_in_dim(field, 0, width, axis=layer.axis)] if layer.both else []
    ends.append(lax.slice_in_dim(field, size - width, size, axis=layer.axis))
    nothing = [jnp.zeros_like(lax.slice_in_dim(ends[0], 0, rim, axis=layer.axis))] if rim else []
    return lax.optimization_barrier(jnp.concatenate([*nothing, *ends, *nothing], axis=layer.axis))


def _placed(strip: Array, field: Array, layer: Layer) -> Array:
    """The strip's cells, as ``_strip`` took them, put into a field."""
    size, width = strip.shape[layer.axis], layer.width
    if layer.both:
        field = lax.dynamic_update_slice_in_dim(
            field, lax.slice_in_dim(strip, 0, width, axis=layer.axis), 0, layer.axis
        )
    end = lax.slice_in_dim(strip, size - width, size, axis=layer.axis)
    return lax.dynamic_update_slice_in_dim(field, end, field.shape[layer.axis] - width, layer.axis)


def _along(values: tuple[float, ...], layer: Layer, rim: int, like: Array) -> Array:
    """Coefficients with ``rim`` zeros before and behind, along the layer's axis."""
    shape = [1] * like.ndim
    shape[layer.axis] = -1
    return jnp.asarray(np.pad(values, rim).reshape(shape), like.dtype)


def _trimmed(strip: Array, axis: int, rim: int) -> Array:
    return lax.slice_in_dim(strip, rim, strip.shape[axis] - rim, axis=axis)
