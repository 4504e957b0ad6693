"""From a configuration and a store to the functions that train."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax

from .. import ensemble, models
from ..config import Config
from ..data.inputs import Inputs
from . import optimiser
from .samples import coarse_shape
from .state import TrainState, create
from .step import make_step, make_validation, resize_base, stream


@dataclass(frozen=True)
class Parts:
    """``initial()`` makes the state at step 0; ``step`` and ``validate`` are those of ``step.py``; ``rate`` is the
    learning rate of an update.
    """

    initial: Callable[[], TrainState]
    step: Callable[[TrainState, Mapping[str, Any]], tuple[TrainState, dict[str, jax.Array]]]
    validate: Callable[..., Any]
    rate: optax.Schedule


def assemble(
    config: Config,
    inputs: Inputs,
    steps: int,
    base_shape: tuple[int, int] | None = None,
    truth_shape: tuple[int, int] | None = None,
) -> Parts:
    """The parts of a run of ``steps`` batches.

    ``base_shape`` is the (gx, gz) of the baseline that networks correct, ``truth_shape`` the (x, depth) of the models
    that they are validated on, where these are not on the survey's own cells.
    """
    settings, survey = config.train, inputs.survey
    updates = -(-steps // settings.accumulate)
    rate = optimiser.schedule(settings.learning_rate, updates, settings.warmup_fraction, settings.final_fraction)
    members = optimiser.build(
        settings.optimiser,
        rate,
        clip_norm=settings.clip_norm,
        weight_decay=settings.weight_decay,
        accumulate=settings.accumulate,
    )
    logits = optimiser.ensemble_weights()
    model = config.model.build(survey)

    def initial() -> TrainState:
        gathers = jnp.zeros((1, *survey.gathers_shape), jnp.float32)
        base = None if base_shape is None else jnp.full((1, *base_shape), survey.v_min_km_s, jnp.float32)
        variables = ensemble.init(
            model, stream(settings.seed, "init", 0), config.ensemble.members, gathers, models.source_x(survey),
            resize_base(base, survey.model_shape),
        )  # fmt: skip
        return create(variables, members, logits, ema=settings.ema_decay > 0)

    return Parts(
        initial=initial,
        step=make_step(config, model.clone(model_shape=coarse_shape(survey, settings.spacing_m)), members, inputs),
        validate=make_validation(config, model.clone(model_shape=truth_shape or survey.model_shape), logits, inputs),
        rate=rate,
    )
