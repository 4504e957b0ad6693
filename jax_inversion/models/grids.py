"""From one regular grid to another: averaging and interpolation as small dense products, patches.

Grids are (batch, row, column, channel).
"""

from collections.abc import Iterable
from functools import cache

import jax.numpy as jnp
import numpy as np


def averaging_matrix(size: int, new_size: int) -> np.ndarray:
    """(new_size, size) float32: adaptive average pooling.

    Row i averages the cells from floor(i r) up to ceil((i + 1) r), r = size / new_size. Any two sizes will do; where
    ``new_size`` is the larger one, cells are repeated.
    """
    matrix = np.zeros((new_size, size), np.float32)
    for i in range(new_size):
        start, stop = i * size // new_size, -(-(i + 1) * size // new_size)
        matrix[i, start:stop] = 1.0 / (stop - start)
    return matrix


def interpolation_matrix(size: int, new_size: int) -> np.ndarray:
    """(new_size, size) float32: linear interpolation between cell centres of two grids that cover the same extent.

    Beyond the outermost centres the edge value holds. Rows sum to one and the matrix commutes with a mirror.
    """
    position = np.clip((np.arange(new_size) + 0.5) * size / new_size - 0.5, 0, size - 1)
    return np.maximum(0, 1 - np.abs(position[:, None] - np.arange(size)[None, :])).astype(np.float32)


def cell_means(fields: Iterable[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """(n, *shape) float32: means of (x, depth) fields over coarser cells that share the extent, parts of cells counted.

    One field at a time, so that all together may be larger than memory.
    """

    def means(field: np.ndarray) -> np.ndarray:
        x, z = (_overlaps(size, new_size) for size, new_size in zip(field.shape, shape, strict=True))
        return x @ field @ z.T

    return np.stack([means(field) for field in fields])


@cache
def _overlaps(size: int, new_size: int) -> np.ndarray:
    edges = np.linspace(0, size, new_size + 1)
    low = np.maximum(edges[:-1, None], np.arange(size)[None, :])
    high = np.minimum(edges[1:, None], np.arange(1, size + 1)[None, :])
    return (np.maximum(high - low, 0) * (new_size / size)).astype(np.float32)


def resample(x, rows: np.ndarray, columns: np.ndarray):
    """Apply a (row', row) and a (column', column) matrix to (batch, row, column, channel)."""
    x = jnp.einsum("brcd,Rr->bRcd", x, jnp.asarray(rows, x.dtype))
    return jnp.einsum("bRcd,Cc->bRCd", x, jnp.asarray(columns, x.dtype))


def to_patches(x, rows: int, columns: int):
    """Space to depth: (batch, r, c, d) to (batch, r / rows, c / columns, rows * columns * d), padded with zeros."""
    batch, height, width, channels = x.shape
    x = jnp.pad(x, ((0, 0), (0, -height % rows), (0, -width % columns), (0, 0)))
    high, wide = -(-height // rows), -(-width // columns)
    x = x.reshape(batch, high, rows, wide, columns, channels).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, high, wide, rows * columns * channels)


def from_patches(x, rows: int, columns: int):
    """Depth to space, the inverse of ``to_patches`` where nothing was padded."""
    batch, high, wide, channels = x.shape
    x = x.reshape(batch, high, wide, rows, columns, channels // (rows * columns)).transpose(0, 1, 3, 2, 4, 5)
    return x.reshape(batch, high * rows, wide * columns, channels // (rows * columns))
