"""Central differences for the Laplacian, and the time step they allow."""

import math
from functools import cache

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

ORDERS = (2, 4, 8)


@cache
def second_derivative(order: int, like: float = 0.0) -> tuple[float, ...]:
    """Taps c_0 ... c_M of a symmetric stencil for the second derivative on a unit grid, M = order / 2.

    The taps match the Taylor series of the symbol to the given order. With ``like = h0 / h`` the symbol they match is
    not the exact -k^2 but that of the *second-order* stencil on a grid of spacing h0: -(2 sin(k h0 / 2) / h0)^2. A
    coarse grid then has the same numerical dispersion as the fine grid that made the data, at no cost.
    """
    if order not in ORDERS:
        raise ValueError(f"stencil order {order} is not one of {ORDERS}")
    half = order // 2
    powers = np.arange(1, half + 1)
    # 2 sum_j c_j (cos(j a) - 1) = sum_p (-1)^p 2 a^(2p) / (2p)! sum_j c_j j^(2p), the wanted series in a = k h.
    wanted = np.array([2 * (-1.0) ** p * like ** (2 * (p - 1)) / math.factorial(2 * p) for p in powers])
    if like == 0:
        wanted[1:] = 0
    matrix = np.array([[2 * (-1.0) ** p * j ** (2 * p) / math.factorial(2 * p) for j in powers] for p in powers])
    taps = np.linalg.solve(matrix, wanted)
    return (float(-2 * taps.sum()), *map(float, taps))


def largest_step_s(spacing_m: float, fastest_km_s: float, order: int, like: float = 0.0) -> float:
    """The Courant limit of leapfrog with this stencil in 2-D: 2 h / (v sqrt(largest symbol of -h^2 Laplacian)).

    The largest symbol is at the Nyquist wavenumber of both axes.
    """
    centre, *taps = second_derivative(order, like)
    nyquist = -(centre + 2 * sum(c * (-1) ** j for j, c in enumerate(taps, 1)))
    return 2 * spacing_m / (fastest_km_s * 1000 * math.sqrt(2 * nyquist))


def laplacian(padded: Float[Array, "*batch X Z"], taps: tuple[float, ...]) -> Float[Array, "*batch x z"]:
    """Laplacian times the squared spacing, of a field that carries a margin of len(taps) - 1 cells on every side.

    Slices of one padded array are what XLA fuses best on a CPU (jnp.roll was 4.5 and conv 29 times slower).
    """
    margin = len(taps) - 1
    nx, nz = padded.shape[-2] - 2 * margin, padded.shape[-1] - 2 * margin

    def shifted(i: int, j: int) -> Array:
        return padded[..., margin + i : margin + i + nx, margin + j : margin + j + nz]

    total = 2 * taps[0] * shifted(0, 0)
    for k, tap in enumerate(taps[1:], 1):
        total += tap * ((shifted(k, 0) + shifted(-k, 0)) + (shifted(0, k) + shifted(0, -k)))
    return total


def pad(field: Float[Array, "*batch x z"], margin: int, mirror_top: bool = False) -> Float[Array, "*batch X Z"]:
    """Zeros around the field; with ``mirror_top`` the rows above depth 0 are its negative image (a free surface).

    The free surface lies on the first row, which the image keeps at zero: u(-z) = -u(z).
    """
    sides = ((0, 0),) * (field.ndim - 2)
    if not mirror_top:
        return jnp.pad(field, (*sides, (margin, margin), (margin, margin)))
    image = -jnp.flip(field[..., 1 : margin + 1], axis=-1)
    return jnp.pad(jnp.concatenate([image, field], axis=-1), (*sides, (margin, margin), (0, margin)))


def slope(padded: Array, axis: int, half: int) -> Array:
    """First central difference of order 2 ``half`` along an axis that carries a margin of ``half`` cells, times h."""
    taps = [
        (-1) ** (j + 1) * math.factorial(half) ** 2 / (j * math.factorial(half - j) * math.factorial(half + j))
        for j in range(1, half + 1)
    ]
    pairs: list[Array] = [
        c * (_moved(padded, axis, half, j) - _moved(padded, axis, half, -j)) for j, c in enumerate(taps, 1)
    ]
    return sum(pairs[1:], pairs[0])


def curvature(padded: Array, axis: int, taps: tuple[float, ...]) -> Array:
    """Second difference along one axis that carries a margin of len(taps) - 1 cells, times the squared spacing."""
    half = len(taps) - 1
    pairs = (c * (_moved(padded, axis, half, j) + _moved(padded, axis, half, -j)) for j, c in enumerate(taps[1:], 1))
    return taps[0] * _moved(padded, axis, half, 0) + sum(pairs)


def _moved(padded: Array, axis: int, half: int, by: int) -> Array:
    return lax.slice_in_dim(padded, half + by, padded.shape[axis] - half + by, axis=axis)
