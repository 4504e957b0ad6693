"""A preset's training step and forward pass on numbers whose values decide nothing, ready to be timed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_inversion import backgrounds, ensemble, models
from jax_inversion.config import Config
from jax_inversion.data import inputs as network_inputs
from jax_inversion.data.inputs import Inputs
from jax_inversion.start import Start
from jax_inversion.training.assembly import Parts, assemble, groups
from jax_inversion.training.base import corrected, simulated_for
from jax_inversion.training.samples import BASE, BASE_GATHERS, coarse_shape
from jax_inversion.training.state import TrainState

UPDATES = 1000  # of the schedule


@dataclass(frozen=True)
class Step:
    """``parts.step(state, batch)`` trains; ``placed`` lies on the device."""

    config: Config
    inputs: Inputs
    parts: Parts
    batch: Mapping[str, Any]

    @classmethod
    def of(cls, config: Config, seed: int = 0) -> "Step":
        survey, size = config.survey.with_interval(config.preprocess.dt_s), config.train.batch_size
        rng, members = np.random.default_rng(seed), config.total_members
        few = rng.standard_normal((4, *survey.gathers_shape)).astype(np.float32)
        background = backgrounds.background(survey, config.simulator) if config.preprocess.whiten else None
        seen = network_inputs.fit(config.preprocess, survey, 1.0, few, background)
        shape = coarse_shape(config.survey, config.train.spacing_m)
        bases = {name: coarse_shape(config.survey, config.base.spacing_m) for name in corrected(config)}
        parts = assemble(config, seen, UPDATES, bases, shape)
        batch = {
            "gathers": rng.standard_normal((members, size, *survey.gathers_shape)).astype(np.float32),
            "velocity": rng.uniform(1.5, 4.5, (members, size, *shape)).astype(np.float32),
            **{BASE + name: np.full((members, size, *grid), 2.5, np.float32) for name, grid in bases.items()},
        }
        batch |= {BASE_GATHERS + name: 0.9 * batch["gathers"] for name in simulated_for(config)}
        return cls(config, seen, parts, batch)

    def placed(self) -> Mapping[str, Any]:
        spread = self.parts.spread
        return jax.device_put(self.batch) if spread.is_one else spread.batch(self.batch)

    def state(self) -> TrainState:
        return self.parts.spread.put(jax.jit(self.parts.initial)())

    def fine_bases(self, count: int) -> dict[str, Start]:
        """What ``count`` predictions correct."""
        models = jnp.full((count, *self.config.survey.model_shape), 2.5)
        gathers = jnp.zeros((count, *self.inputs.survey.gathers_shape))
        return {name: Start(models, gathers) for name in corrected(self.config)}

    def forward(self, state: TrainState) -> Any:
        """The jitted ``forward(gathers)`` of all members, on the survey's cells, without mirrored and noisy copies."""
        own, source_x = groups(self.config, self.inputs.survey), models.source_x(self.inputs.survey)

        @jax.jit
        def forward(gathers: jax.Array) -> jax.Array:
            bases = self.fine_bases(len(gathers))
            return ensemble.predict(own, state.variables, self.inputs(gathers), source_x, bases)

        return forward
