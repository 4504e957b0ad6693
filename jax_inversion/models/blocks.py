"""Blocks that encoder and decoder share."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from .attention import attention
from .convolution import MultiScaleConv


def fourier(position, bands: int = 6):
    """Sines and cosines of a position in [0, 1] at ``bands`` octaves: (...) to (..., 2 * bands)."""
    octaves = jnp.pi * 2.0 ** jnp.arange(bands, dtype=jnp.float32)
    phase = position[..., None] * octaves.reshape((1,) * position.ndim + (bands,))
    return jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=-1)


def layer_norm(x, dtype):
    """Layer normalisation inside a compact module: statistics in float32, result in ``dtype``."""
    return nn.LayerNorm()(x.astype(jnp.float32)).astype(dtype)


class ConvBlock(nn.Module):
    """Multi-scale convolution, batch normalisation, GELU, added to the input: (batch, row, column, channel)."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        y = MultiScaleConv(x.shape[-1], dtype=self.dtype)(x)
        y = nn.BatchNorm(use_running_average=not train, momentum=0.9)(y.astype(jnp.float32))
        return x + nn.gelu(y.astype(self.dtype))


class TransformerLayer(nn.Module):
    """A pre-norm transformer encoder layer over (batch, token, embedding); dropout on both residual branches."""

    heads: int
    dropout: float
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        embedding = x.shape[-1]
        y = layer_norm(x, self.dtype)
        y = nn.Dense(3 * embedding, dtype=self.dtype, name="query_key_value")(y)
        y = y.reshape(*x.shape[:2], 3, self.heads, embedding // self.heads)
        y = attention(y[:, :, 0], y[:, :, 1], y[:, :, 2]).reshape(x.shape)
        y = nn.Dense(embedding, dtype=self.dtype, name="attended")(y)
        x = x + nn.Dropout(self.dropout)(y, deterministic=not train)
        y = layer_norm(x, self.dtype)
        y = nn.gelu(nn.Dense(4 * embedding, dtype=self.dtype)(y))
        y = nn.Dense(embedding, dtype=self.dtype)(y)
        return x + nn.Dropout(self.dropout)(y, deterministic=not train)


class Mix(nn.Module):
    """A cheap residual 3 x 3 convolution: normalise, depthwise taps as shifted slices (they fuse), GELU, dense."""

    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x):
        height, width, channels = x.shape[1:]
        taps = self.param("taps", nn.initializers.normal(1 / 3), (3, 3, channels)).astype(self.dtype)
        y = layer_norm(x, self.dtype)
        y = jnp.pad(y, ((0, 0), (1, 1), (1, 1), (0, 0)))
        shifts = [(i, j) for i in range(3) for j in range(3)]
        y = sum(y[:, i : i + height, j : j + width] * taps[i, j][None, None, None] for i, j in shifts)
        return x + nn.Dense(channels, dtype=self.dtype)(nn.gelu(y))


def conv_block(remat: bool, **fields) -> ConvBlock:
    """``ConvBlock``, recomputed in the backward pass on request; name it, lest that change its parameters' name."""
    return (nn.remat(ConvBlock, static_argnums=(2,)) if remat else ConvBlock)(**fields)


def transformer_layer(remat: bool, **fields) -> TransformerLayer:
    """``TransformerLayer``, recomputed in the backward pass on request; named for the same reason."""
    return (nn.remat(TransformerLayer, static_argnums=(2,)) if remat else TransformerLayer)(**fields)
