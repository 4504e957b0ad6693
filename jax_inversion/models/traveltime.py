"""One member that works in two-way time: whitened gathers in, a correction to a base model out.

Along two-way time reflections stand where the velocity that made them stands, so the network's axis is the data's and
the model's at once. A token holds all traces' samples at its time, moved out as flat layers would be.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from ..arrays import EXACT, Gathers, Velocity
from ..errors import UserError
from ..ranges import Count, Fraction, Positive
from ..resampling import averaging_matrix, interpolation_matrix
from ..survey import Survey
from . import moveout, time_depth
from .blocks import layer_norm
from .sequence import SequenceBlock

InTime: TypeAlias = Float[Array, "batch column time"]

SPAN = 1.2  # two-way time that tokens cover, in durations of the record: the slowest sections end later than it does
CENTRE, SPREAD = math.log(2.5), 0.3  # of log velocity in km/s, as the network sees it


@dataclass(frozen=True)
class TraveltimeConfig:
    """Shape of one member. Times are of two-way time; ``token_s`` is a whole multiple of the other two."""

    name: Literal["traveltime"] = "traveltime"  # traveltime: tokens along two-way time; inversion: the original's
    token_s: Positive = 0.016  # two-way time of a token
    input_s: Positive = 0.008  # between the samples that a token takes from each trace
    head_s: Positive = 0.008  # between the corrections that it gives
    columns: Count = 30  # of the head, across the section
    width: Count = 160  # of the tokens
    heads: Count = 4  # of the attention
    layers: Count = 5  # of the transformer
    residual: bool = False  # see the data residual of the base too: the gathers less those simulated for it
    expansion: Count = 3  # of the perceptrons
    dropout: Fraction = 0.0  # probability
    dtype: Literal["float32", "bfloat16"] = "float32"  # inside; weights stay float32

    def __post_init__(self) -> None:
        if self.width % (2 * self.heads):
            raise UserError(f"model.width {self.width} is not a multiple of twice model.heads {self.heads}")
        for name in ("input_s", "head_s"):
            share = self.token_s / getattr(self, name)
            if not (share > 0.999 and math.isclose(share, round(share), rel_tol=1e-6)):
                raise UserError(f"model.token_s {self.token_s} is not a whole multiple of model.{name}")

    def build(self, survey: Survey) -> "Traveltime":
        """The network for ``survey``, the one with the decimated time axis; the wavelet is its Ricker."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "name"}
        return Traveltime(survey=survey, model_shape=survey.model_shape, delay_s=1 / survey.peak_hz, **fields)


class Traveltime(nn.Module):
    """Tokens of ``token_s``; the head corrects log velocity every ``head_s`` in ``columns`` columns across the section.

    ``survey`` is that of the gathers (decimated), ``model_shape`` the (x, depth) of the base and of the output, which
    cover the survey's section. ``delay_s`` is where the whitened wavelet has its peak. bfloat16 is the type inside:
    parameters, statistics of the norms, maps between time and depth and output stay float32.
    """

    survey: Survey
    model_shape: tuple[int, int]
    delay_s: float
    token_s: float
    input_s: float
    head_s: float
    columns: int
    width: int
    heads: int
    layers: int
    residual: bool
    expansion: int
    dropout: float
    dtype: str

    @nn.compact
    def __call__(
        self, gathers: Gathers, source_x, base: Velocity | None = None, left: Gathers | None = None, train: bool = False
    ) -> Velocity:
        """Whitened gathers (batch, shot, time, receiver) of unit variance, base (batch, x, depth) in km/s, and where
        ``residual`` asks for it ``left``, in the gathers' shape and unit: what the base's own gathers leave of them.

        Returns (batch, x, depth) km/s, float32, within the survey's bounds. ``source_x`` is there for the signature
        that all models share: the survey has the sources' positions. Sows ``log_velocity`` (batch, column, time), not
        bounded, into the collection ``in_time``.
        """
        dtype = jnp.dtype(self.dtype)
        start = self.in_time(self.reference() if base is None else base)[0]
        start = jnp.broadcast_to(start, (len(gathers), *start.shape[1:]))
        known = jnp.swapaxes((start - CENTRE) / SPREAD, 1, 2).reshape(len(gathers), self.tokens, -1)
        inputs = jnp.concatenate([self.move_out(gathers), known], axis=-1).astype(dtype)
        x = nn.Dense(self.width, dtype=dtype, name="embedding")(inputs)
        if self.residual:  # from zero, so that networks that were trained without go on from what they know
            assert left is not None, "a network that sees the base's residual is given it"
            seen = self.move_out(left).astype(dtype)
            x += nn.Dense(self.width, False, dtype, kernel_init=nn.initializers.zeros, name="residual_embedding")(seen)
        place = self.param("position", nn.initializers.normal(0.02), (self.tokens, self.width))
        x = x + place.astype(dtype)[None]
        for i in range(self.layers):
            block = SequenceBlock(self.heads, self.expansion, self.dropout, dtype, name=f"block_{i}")
            x = block(x, train)
        x = layer_norm(x, jnp.float32)
        correction = nn.Dense(known.shape[-1], kernel_init=nn.initializers.zeros, name="correction")(x)
        log_velocity = start + SPREAD * jnp.swapaxes(correction.reshape(len(gathers), -1, self.columns), 1, 2)
        self.sow("in_time", "log_velocity", log_velocity)
        return self.in_depth(log_velocity)

    @property
    def tokens(self) -> int:
        """Tokens along two-way time."""
        return math.ceil(SPAN * self.survey.duration_s / self.token_s)

    def move_out(self, gathers):
        """(batch, token, sample, shot and receiver): what each trace shows of each token's time; zero past its end."""
        nt, receivers = gathers.shape[2:]
        each = round(self.token_s / self.input_s)
        centres_s = (np.arange(self.tokens * each) + 0.5) * self.input_s
        row = self.arrivals_s(centres_s) / self.survey.dt_s
        near = np.minimum(np.floor(row).astype(int), nt - 2)
        share = np.where(row <= nt - 1, row - near, 0.0)
        trace = np.arange(row[0].size).reshape(row.shape[1:])
        flat = (trace // receivers * nt + near) * receivers + trace % receivers
        inside = (row <= nt - 1).astype(np.float32)
        samples = gathers.reshape(len(gathers), -1)
        first, second = ((weight * inside).astype(np.float32).reshape(1, -1) for weight in (1 - share, share))
        moved = samples[:, flat.ravel()] * first + samples[:, flat.ravel() + receivers] * second
        return moved.reshape(len(gathers), self.tokens, -1)

    def arrivals_s(self, time_s: Float[np.ndarray, " time"]) -> Float[np.ndarray, "time shot receiver"]:
        """Where reflections from two-way times stand in the traces."""
        return moveout.arrivals_s(self.survey, time_s, self.delay_s)

    def in_time(self, velocity: Velocity) -> tuple[InTime, InTime]:
        """Log velocity every ``head_s`` of a model (batch, x, depth), and the share of each interval that it covers."""
        across = jnp.asarray(averaging_matrix(velocity.shape[1], self.columns))
        columns = jnp.einsum("cx,bxz->bcz", across, velocity, precision=EXACT)
        count = self.tokens * round(self.token_s / self.head_s)
        return time_depth.to_time(columns, self._cell_m(velocity.shape[2]), self.head_s, count)

    def in_depth(self, log_velocity: InTime) -> Velocity:
        """Velocity (batch, x, depth) on ``model_shape``'s cells, within the survey's bounds."""
        nx, nz = self.model_shape
        bounded = jnp.clip(jnp.exp(log_velocity), self.survey.v_min_km_s, self.survey.v_max_km_s)
        columns = time_depth.to_depth(bounded, self.head_s, self._cell_m(nz), nz)
        across = jnp.broadcast_to(interpolation_matrix(self.columns, nx), (len(columns), nx, self.columns))
        return jnp.matmul(across, columns, precision=EXACT)  # one a sample: einsum's single product is transposed after

    def reference(self) -> Velocity:
        """The base where none is given: one (1, x, depth) model whose velocity rises linearly with depth."""
        nx, nz = self.model_shape
        low, high = self.survey.v_min_km_s, self.survey.v_max_km_s
        return jnp.broadcast_to(jnp.linspace(low, high, nz, dtype=jnp.float32), (1, nx, nz))

    def _cell_m(self, cells: int) -> float:
        return self.survey.nz * self.survey.spacing_m / cells
