"""Space to depth and back: patches of (batch, row, column, channel)."""

import jax.numpy as jnp


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
