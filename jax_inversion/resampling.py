"""From one regular grid to another: averaging and linear interpolation, as small dense matrices, and their appliers.

A matrix is built from sizes alone, by NumPy, once. ``resize`` and ``resample`` take NumPy and JAX arrays.
"""

from collections.abc import Iterable
from functools import cache
from typing import overload

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .arrays import EXACT

Vector = Float[np.ndarray, "_"]
Matrix = Float[np.ndarray, "_ _"]


def window_means(low: Vector, high: Vector, walls: Vector) -> Matrix:
    """(window, cell) float64: the mean over each window [low, high] of what is constant in the cells between ``walls``.

    The outermost cells reach out for ever, so that rows sum to one.
    """
    left, right = walls[:-1].astype(float), walls[1:].astype(float)
    left[0], right[-1] = -np.inf, np.inf
    overlap = np.minimum(high[:, None], right[None, :]) - np.maximum(low[:, None], left[None, :])
    return np.maximum(overlap, 0) / (high - low)[:, None]


@cache
def averaging_matrix(size: int, new_size: int, whole_cells: bool = False) -> Matrix:
    """(new_size, size) float32: means over the cells of a grid that covers the same extent, parts of cells counted.

    With ``whole_cells`` a cell that is partly inside counts fully: adaptive average pooling.
    """
    walls = np.arange(new_size + 1) * size / new_size
    low, high = walls[:-1], walls[1:]
    if whole_cells:
        low, high = np.floor(low), np.ceil(high)
    return _kept(window_means(low, high, np.arange(size + 1.0)))


@cache
def interpolation_matrix(size: int, new_size: int) -> Matrix:
    """(new_size, size) float32: linear interpolation between cell centres of two grids that cover the same extent.

    Beyond the outermost centres the edge value holds. Rows sum to one and the matrix commutes with a mirror.
    """
    position = np.clip((np.arange(new_size) + 0.5) * size / new_size - 0.5, 0, size - 1)
    return _kept(np.maximum(0, 1 - np.abs(position[:, None] - np.arange(size)[None, :])))


@overload
def resize(fields: Float[Array, "*batch x depth"], shape: tuple[int, ...]) -> Float[Array, "*batch X Z"]: ...
@overload
def resize(fields: Float[np.ndarray, "*batch x depth"], shape: tuple[int, ...]) -> Float[np.ndarray, "*batch X Z"]: ...
def resize(
    fields: Float[Array, "*batch x depth"] | Float[np.ndarray, "*batch x depth"], shape: tuple[int, ...]
) -> Float[Array, "*batch X Z"] | Float[np.ndarray, "*batch X Z"]:
    """Fields on a grid of ``shape`` with the same extent: each axis interpolated to more cells, averaged over fewer."""
    x, z = (
        (interpolation_matrix if new_size >= size else averaging_matrix)(size, new_size)
        for size, new_size in zip(fields.shape[-2:], shape, strict=True)
    )
    if isinstance(fields, np.ndarray):
        return x @ fields @ z.T
    # velocities need their digits: a GPU's default precision has three
    x, z = jnp.asarray(x, fields.dtype), jnp.asarray(z, fields.dtype)
    return jnp.einsum("Xx,...xz,Zz->...XZ", x, fields, z, precision=EXACT)


def cell_means(fields: Iterable[Float[np.ndarray, "x depth"]], shape: tuple[int, int]) -> Float[np.ndarray, "n X Z"]:
    """(n, *shape) float32: means of fields over coarser cells that share the extent.

    One field at a time, so that all together may be larger than memory.
    """

    def means(field: np.ndarray) -> np.ndarray:
        x, z = (averaging_matrix(size, new_size) for size, new_size in zip(field.shape, shape, strict=True))
        return x @ field @ z.T

    return np.stack([means(field) for field in fields]).astype(np.float32, copy=False)


def resample(
    image: Float[Array, "batch row column channel"], rows: Matrix, columns: Matrix
) -> Float[Array, "batch Row Column channel"]:
    """Apply a (Row, row) and a (Column, column) matrix."""
    image = jnp.einsum("brcd,Rr->bRcd", image, jnp.asarray(rows, image.dtype))
    return jnp.einsum("bRcd,Cc->bRCd", image, jnp.asarray(columns, image.dtype))


def _kept(matrix: Matrix) -> Matrix:
    """float32, and read only: the cache hands it to everyone."""
    matrix = matrix.astype(np.float32)
    matrix.flags.writeable = False
    return matrix
