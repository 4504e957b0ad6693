"""The mission's network, one member: shot gathers in, a velocity model out."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from flax import linen as nn

from ..arrays import Gathers, Velocity
from ..errors import UserError
from ..ranges import Count, CountOrZero, Fraction
from ..survey import Survey
from .decoder import Decoder
from .encoder import Encoder


@dataclass(frozen=True)
class InversionConfig:
    """Shape of one member."""

    name: Literal["inversion"] = "inversion"  # inversion: the original's; traveltime: tokens along two-way time
    embedding: Count = 512  # width of the transformer
    heads: Count = 8  # of the attention
    layers: Count = 6  # of the transformer decoder
    dropout: Fraction = 0.1  # probability
    channels: tuple[Count, ...] = (64, 128, 256)  # of the encoder's multi-scale stages
    stem_patch: tuple[Count, Count] = (4, 1)  # (time samples, receivers) that one stem token covers
    token_grid: tuple[Count, Count] = (16, 8)  # (time, receiver) tokens a shot after pooling
    cross_source_layers: CountOrZero = 2  # of attention across shots
    upsampling: tuple[Count, ...] = (256, 128, 64, 32)  # channels of the decoder's upsampling stages
    output: Literal["softplus", "bounded"] = "softplus"  # a base is corrected by a factor, and clipped if bounded
    dtype: Literal["float32", "bfloat16"] = "float32"  # inside; weights stay float32
    # Compute again in the backward pass instead of keeping: less memory, more time. auto: if it does not fit otherwise.
    remat: bool | Literal["auto"] = False

    def __post_init__(self) -> None:
        if self.embedding % self.heads:
            raise UserError(f"model.embedding {self.embedding} is not a multiple of model.heads {self.heads}")
        if min(self.channels, default=0) < 4:
            raise UserError(f"model.channels is {self.channels}; right is at least one stage, of 4 or more channels")

    def build(self, survey: Survey) -> "Inversion":
        """The network for ``survey``, the one with the decimated time axis."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "name"}
        fields["remat"] = self.remat is True  # training turns it on where "auto" finds no room
        return Inversion(
            model_shape=survey.model_shape,
            receiver_x=survey.fractions(survey.receiver_x_m),
            v_min_km_s=survey.v_min_km_s,
            v_max_km_s=survey.v_max_km_s,
            **fields,
        )


class Inversion(nn.Module):
    """Multi-scale convolutions for each shot, attention across shots, a transformer over the fused grid, upsampling.

    ``model_shape`` is (x, depth), ``receiver_x`` in fractions of the section's width. bfloat16 is the type inside:
    parameters, statistics of the norms and output stay float32.
    """

    model_shape: tuple[int, int]
    receiver_x: tuple[float, ...]
    v_min_km_s: float
    v_max_km_s: float
    embedding: int
    heads: int
    layers: int
    dropout: float
    channels: tuple[int, ...]
    stem_patch: tuple[int, int]
    token_grid: tuple[int, int]
    cross_source_layers: int
    upsampling: tuple[int, ...]
    output: str
    dtype: str
    remat: bool

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
