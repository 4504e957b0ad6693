"""One member: shot gathers in, a velocity model out."""

import jax.numpy as jnp
from flax import linen as nn

from ..arrays import Gathers, Velocity
from .decoder import Decoder
from .encoder import Encoder


class Inversion(nn.Module):
    """Multi-scale convolutions for each shot, attention across shots, a transformer over the fused grid, upsampling.

    ``model_shape`` is (x, depth), ``receiver_x`` in fractions of the section's width. bfloat16 is the type inside:
    parameters, statistics of the norms and output stay float32.
    """

    model_shape: tuple[int, int]
    receiver_x: tuple[float, ...]
    v_min_km_s: float
    v_max_km_s: float
    embedding: int = 512
    heads: int = 8
    layers: int = 6
    dropout: float = 0.1
    channels: tuple[int, ...] = (64, 128, 256)
    stem_patch: tuple[int, int] = (4, 1)
    token_grid: tuple[int, int] = (16, 8)
    cross_source_layers: int = 2
    upsampling: tuple[int, ...] = (256, 128, 64, 32)
    output: str = "softplus"
    dtype: str = "float32"
    remat: bool = False

    def setup(self):
        shared = {
            "heads": self.heads,
            "dropout": self.dropout,
            "token_grid": self.token_grid,
            "dtype": jnp.dtype(self.dtype),
            "remat": self.remat,
        }
        self.encoder = Encoder(
            embedding=self.embedding,
            channels=self.channels,
            stem_patch=self.stem_patch,
            cross_source_layers=self.cross_source_layers,
            receiver_x=self.receiver_x,
            **shared,
        )
        self.decoder = Decoder(
            layers=self.layers,
            upsampling=self.upsampling,
            output=self.output,
            model_shape=self.model_shape,
            v_min_km_s=self.v_min_km_s,
            v_max_km_s=self.v_max_km_s,
            **shared,
        )

    def __call__(self, gathers: Gathers, source_x, base: Velocity | None = None, train: bool = False) -> Velocity:
        """Normalised gathers (batch, shot, time, receiver), source positions (shot,), base (batch, x, depth) km/s.

        Returns (batch, x, depth) km/s, float32. Training draws from the stream ``dropout`` and changes ``batch_stats``.
        """
        return self.decoder(self.encoder(gathers, source_x, train), base, train)
