"""From gathers to one grid of tokens: weights shared by the shots, then attention across them, then fusion."""

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from ..arrays import Gathers
from ..resampling import averaging_matrix, resample
from .blocks import conv_block, fourier, layer_norm, transformer_layer
from .patches import to_patches


class Encoder(nn.Module):
    """(batch, shot, time, receiver) gathers and (shot,) source positions to (batch, time * receiver token, embedding).

    Positions are fractions of the section's width. Any length and number of receivers fit any ``token_grid``.
    """

    embedding: int
    heads: int
    dropout: float
    channels: tuple[int, ...]
    stem_patch: tuple[int, int]
    token_grid: tuple[int, int]
    cross_source_layers: int
    receiver_x: tuple[float, ...]
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, gathers: Gathers, source_x, train: bool):
        batch, shots = gathers.shape[:2]
        x = self.stem(gathers, source_x)
        x = self.stages(x.reshape(batch * shots, *x.shape[2:]), train)
        x = x.reshape(batch, shots, -1, self.embedding)
        return self.fuse(x, source_x, train)

    def stem(self, gathers, source_x):
        """Patches of the gathers as tokens, with the geometry added: (batch, shot, time, receiver, channel)."""
        batch, shots, time, receivers = gathers.shape
        x = to_patches(gathers.astype(self.dtype).reshape(batch * shots, time, receivers, 1), *self.stem_patch)
        x = nn.Dense(self.channels[0], dtype=self.dtype, name="stem")(x)
        columns = x.shape[2]
        means = jnp.asarray(averaging_matrix(receivers, columns, whole_cells=True))
        receiver = means @ jnp.asarray(self.receiver_x, jnp.float32)
        source = jnp.broadcast_to(source_x[:, None], (shots, columns))
        receiver = jnp.broadcast_to(receiver[None, :], (shots, columns))
        where = jnp.concatenate([fourier(source), fourier(receiver), fourier(receiver - source)], axis=-1)
        where = nn.Dense(self.channels[0], dtype=self.dtype, name="geometry")(where)
        return x.reshape(batch, shots, *x.shape[1:]) + where[None, :, None]

    def stages(self, x, train: bool):
        """Multi-scale stages of (gather, time, receiver, channel), each ending in patches for the next, then pooling.

        An axis is halved as long as it has at least twice as many places as the token grid.
        """
        for i, features in enumerate((*self.channels[1:], self.embedding)):
            x = conv_block(self.remat, dtype=self.dtype, name=f"stage_{i}")(x, train)
            factors = [
                2 if size >= 2 * tokens else 1 for size, tokens in zip(x.shape[1:3], self.token_grid, strict=True)
            ]
            x = nn.Dense(features, dtype=self.dtype, name=f"merge_{i}")(to_patches(x, *factors))
        sizes = zip(x.shape[1:3], self.token_grid, strict=True)
        return resample(x, *(averaging_matrix(*pair, whole_cells=True) for pair in sizes))

    def fuse(self, x, source_x, train: bool):
        """All shots' tokens attend to all shots' tokens; then those of one place become one, by a dense layer."""
        batch, shots, tokens, embedding = x.shape
        place = self.param("token_position", nn.initializers.normal(0.02), (tokens, embedding)).astype(self.dtype)
        shot = nn.Dense(embedding, dtype=self.dtype, name="shot_position")(fourier(source_x))
        x = x + place[None, None] + shot[None, :, None]
        x = x.reshape(batch, shots * tokens, embedding)
        layer = {"heads": self.heads, "dropout": self.dropout, "dtype": self.dtype}
        for i in range(self.cross_source_layers):
            x = transformer_layer(self.remat, name=f"cross_source_{i}", **layer)(x, train)
        x = layer_norm(x, self.dtype).reshape(batch, shots, tokens, embedding)
        x = x.transpose(0, 2, 1, 3).reshape(batch, tokens, shots * embedding)
        return nn.Dense(embedding, dtype=self.dtype, name="fuse")(x)
