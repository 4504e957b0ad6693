"""From a grid of tokens to a velocity model of exactly the survey's shape."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from ..arrays import Velocity
from ..resampling import averaging_matrix, resample, resize
from .blocks import Mix, layer_norm, transformer_layer
from .patches import from_patches, to_patches

BASE_PATCH = (8, 4)  # (depth, x) averages of the base that one token sees


class Decoder(nn.Module):
    """(batch, token, embedding), tokens being (depth, x) of ``token_grid``, to (batch, x, depth) km/s, float32.

    The output is positive (``softplus``) or within the bounds (``bounded``) and starts near the bounds' geometric mean,
    which is 2.6 km/s for 1.5 to 4.5. With a ``base`` (batch, x, depth) km/s, the output is the base times the
    exponential of a small correction, and starts at the base exactly; ``bounded`` then clips.
    """

    heads: int
    layers: int
    dropout: float
    token_grid: tuple[int, int]
    upsampling: tuple[int, ...]
    output: str
    model_shape: tuple[int, int]
    v_min_km_s: float
    v_max_km_s: float
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, tokens, base: Velocity | None, train: bool):
        batch, count, embedding = tokens.shape
        place = self.param("token_position", nn.initializers.normal(0.02), (count, embedding)).astype(self.dtype)
        x = tokens + place[None]
        if base is not None:
            x = x + self.embed_base(base, embedding)
        layer = {"heads": self.heads, "dropout": self.dropout, "dtype": self.dtype}
        for i in range(self.layers):
            x = transformer_layer(self.remat, name=f"layer_{i}", **layer)(x, train)
        x = layer_norm(x, self.dtype).reshape(batch, *self.token_grid, embedding)
        for i, channels in enumerate(self.upsampling):
            x = from_patches(nn.Dense(4 * channels, dtype=self.dtype, name=f"upsample_{i}")(x), 2, 2)
            x = Mix(dtype=self.dtype, name=f"mix_{i}")(x)
        return self.head(x.astype(jnp.float32), base)

    def embed_base(self, base, embedding: int):
        """(batch, token, embedding): patches of the base's logarithm, averaged to some cells a token."""
        depths, xs = (tokens * patch for tokens, patch in zip(self.token_grid, BASE_PATCH, strict=True))
        coarse = jnp.log(base / self._start_km_s).transpose(0, 2, 1)[..., None]
        sizes = zip(coarse.shape[1:3], (depths, xs), strict=True)
        coarse = resample(coarse, *(averaging_matrix(*pair, whole_cells=True) for pair in sizes))
        patches = to_patches(coarse, *BASE_PATCH).astype(self.dtype)
        return nn.Dense(embedding, dtype=self.dtype, name="base")(patches).reshape(len(base), -1, embedding)

    def head(self, x, base):
        """Velocity on the decoder's grid, then linear interpolation, which keeps its bounds: far fewer exponentials."""
        low, high, start = self.v_min_km_s, self.v_max_km_s, self._start_km_s
        bounded = self.output == "bounded"
        if base is not None:
            zeros = nn.initializers.zeros
            correction = nn.Dense(1, kernel_init=zeros, name="correction")(x)
            velocity = base + base * self._resize(jnp.expm1(correction))
            return jnp.clip(velocity, low, high) if bounded else velocity
        bias = math.log((start - low) / (high - start)) if bounded else math.log(math.expm1(start))
        x = nn.Dense(1, kernel_init=nn.initializers.normal(0.01), name="velocity")(x) + bias
        return self._resize(low + (high - low) * jax.nn.sigmoid(x) if bounded else jax.nn.softplus(x))

    @property
    def _start_km_s(self) -> float:
        return math.sqrt(self.v_min_km_s * self.v_max_km_s)

    def _resize(self, x):
        """(batch, depth, x, 1) of the decoder's grid to (batch, x, depth) of the survey."""
        return resize(x[..., 0].transpose(0, 2, 1), self.model_shape)
