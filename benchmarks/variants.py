"""Networks that differ from ``traveltime`` in one thing that no setting asks for, for ``ablation.py`` alone.

A variant's settings are those of ``TraveltimeConfig``, so that it goes wherever a configuration's ``model`` does; only
what ``build`` returns differs. Files of a run name it ``traveltime``: nobody else can read its checkpoints.
"""

import dataclasses
from functools import cache
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from jax_inversion import geology
from jax_inversion.arrays import EXACT
from jax_inversion.models.convolution import MultiScaleConv
from jax_inversion.models.moveout import arrivals_s
from jax_inversion.models.traveltime import CENTRE, SPREAD, Traveltime, TraveltimeConfig
from jax_inversion.resampling import averaging_matrix, interpolation_matrix
from jax_inversion.survey import Survey

GEOLOGY, DRAWN = "marine", 64  # models whose median is the reference
CHANNELS, CONVOLUTIONS = 12, 2  # of the finishing convolution


class Variant(TraveltimeConfig):
    """Settings of another ``network``."""

    network: ClassVar[type[Traveltime]]

    def build(self, survey: Survey) -> Traveltime:
        plain = super().build(survey)
        own = [f.name for f in dataclasses.fields(plain) if f.name not in ("parent", "name")]  # those two are linen's
        return self.network(**{name: getattr(plain, name) for name in own})


class Vertical(Traveltime):
    """No moveout: every trace is read where its reflection would stand if the receiver were at the shot."""

    def move_out(self, gathers):
        nt = gathers.shape[2]
        centres_s = (np.arange(self.tokens * round(self.token_s / self.input_s)) + 0.5) * self.input_s
        together = dataclasses.replace(self.survey, source_x_m=self.survey.receiver_x_m)
        row = arrivals_s(together, centres_s, self.delay_s)[:, 0, :1] / self.survey.dt_s
        linear = np.maximum(0.0, 1 - np.abs(row - np.arange(nt))) * (row <= nt - 1)
        moved = jnp.einsum("kt,bstr->bksr", jnp.asarray(linear, jnp.float32), gathers, precision=EXACT)
        return moved.reshape(len(gathers), self.tokens, -1)


class Profiled(Traveltime):
    """Moveout at the root-mean-square velocity of the training geology's own median profile."""

    def arrivals_s(self, time_s):
        return arrivals_s(self.survey, time_s, self.delay_s, median_rms_km_s(self.survey, tuple(time_s)))


@cache
def median_rms_km_s(survey: Survey, time_s: tuple[float, ...]) -> np.ndarray:
    """Down to two-way times, of the median of ``DRAWN`` models; below the section its last velocity goes on."""
    with jax.ensure_compile_time_eval():
        models = [np.asarray(geology.draw(jax.random.key(k), survey, GEOLOGY)) for k in range(DRAWN)]
    profile = np.median(np.stack(models), axis=(0, 1))
    below = np.concatenate([[0.0], np.cumsum(2 * survey.spacing_m / 1e3 / profile)])  # two-way time of cells' floors
    squares = np.concatenate([[0.0], np.cumsum(2 * survey.spacing_m / 1e3 * profile)])  # of velocity, over time
    far = max(time_s[-1] - below[-1], 0.0) + 1.0
    below, squares = np.append(below, below[-1] + far), np.append(squares, squares[-1] + far * profile[-1] ** 2)
    return np.sqrt(np.interp(time_s, below, squares) / np.maximum(time_s, 1e-9))


class InDepth(Traveltime):
    """Head and map in depth: as many even cells of depth as ``Traveltime`` has intervals of two-way time, of which each
    token knows and corrects the next few; its gathers it reads in two-way time as before.
    """

    def in_time(self, velocity):
        """Log velocity (batch, column, cell), and that the section covers all of it."""
        across, down = (
            averaging_matrix(velocity.shape[1], self.columns),
            averaging_matrix(velocity.shape[2], self.cells),
        )
        columns = jnp.einsum("cx,bxz->bcz", jnp.asarray(across), velocity, precision=EXACT)
        means = jnp.einsum("kz,bcz->bck", jnp.asarray(down), jnp.log(columns), precision=EXACT)
        return means, jnp.ones_like(means)

    def in_depth(self, log_velocity):
        nx, nz = self.model_shape
        bounded = jnp.clip(jnp.exp(log_velocity), self.survey.v_min_km_s, self.survey.v_max_km_s)
        across, down = interpolation_matrix(self.columns, nx), averaging_matrix(self.cells, nz)
        columns = jnp.einsum("zk,bck->bcz", jnp.asarray(down), bounded, precision=EXACT)
        return jnp.einsum("xc,bcz->bxz", jnp.asarray(across), columns, precision=EXACT)

    @property
    def cells(self) -> int:
        return self.tokens * round(self.token_s / self.head_s)


class Finished(Traveltime):
    """Convolutions over the cells of the model that is predicted, from no change on, sharpen what columns and intervals
    blur. Good for cells of the size that it was trained on only.
    """

    @nn.compact
    def __call__(self, gathers, source_x, base=None, left=None, train: bool = False):
        velocity = super().__call__(gathers, source_x, base, left, train)
        x = (jnp.log(velocity)[..., None] - CENTRE) / SPREAD
        for k in range(CONVOLUTIONS):
            x = nn.gelu(MultiScaleConv(CHANNELS, name=f"finish_{k}")(x))
        change = nn.Dense(1, kernel_init=nn.initializers.zeros, name="finished")(x)[..., 0]
        return jnp.clip(velocity * jnp.exp(SPREAD * change), self.survey.v_min_km_s, self.survey.v_max_km_s)


class VerticalConfig(Variant):
    network = Vertical


class ProfiledConfig(Variant):
    network = Profiled


class InDepthConfig(Variant):
    network = InDepth


class FinishedConfig(Variant):
    network = Finished
