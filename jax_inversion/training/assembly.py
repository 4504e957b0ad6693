"""From a configuration and a store to the functions that train."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax.numpy as jnp
import optax
from flax import linen as nn

from .. import ensemble, models
from ..config import Config
from ..data.inputs import Inputs
from ..start import Start
from ..survey import Survey
from . import optimiser
from .devices import Device, Spread
from .samples import coarse_shape
from .state import TrainState, create
from .step import Batch, Metrics, Training, make_step, stream
from .validation import make_validation

Step: TypeAlias = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


@dataclass(frozen=True)
class Parts:
    """``initial()`` makes the state at step 0; ``step`` and ``validate`` are of ``step.py``, ``leaner`` is the step
    in less memory, where ``remat = "auto"`` allows that; ``rate`` is the learning rate of an update, that of the
    preset's own members; ``spread`` says which devices compute what.
    """

    groups: ensemble.Groups
    spread: Spread
    initial: Callable[[], TrainState]
    step: Step
    leaner: Step | None
    validate: Callable[..., Any]
    rate: optax.Schedule


def groups(config: Config, survey: Survey, shape: tuple[int, int] | None = None) -> list[ensemble.Group]:
    """The groups of members that ``config`` asks for, for gathers of ``survey``, the decimated one.

    Their networks predict models of ``shape`` (x, depth), by default the survey's own.
    """

    def model(settings: Config) -> nn.Module:
        return settings.model.build(survey).clone(model_shape=shape or survey.model_shape)

    return [
        ensemble.Group(
            name,
            model(settings),
            settings.ensemble.members,
            settings.base.regression,
            models.sees_residual(settings.model),
        )
        for name, settings in config.groups.items()
    ]


def assemble(
    config: Config,
    inputs: Inputs,
    steps: int,
    base_shapes: Mapping[str, tuple[int, int]] | None = None,
    truth_shape: tuple[int, int] | None = None,
    devices: Sequence[Device] | None = None,
) -> Parts:
    """The parts of a run of ``steps`` batches.

    ``base_shapes`` are the (gx, gz) of the baselines that networks correct, by name; ``truth_shape`` the (x, depth) of
    the models that they are validated on, where these are not on the survey's own cells. ``devices``: all unless given.
    """
    settings, survey = config.train, inputs.survey
    updates, own = -(-steps // settings.accumulate), config.groups
    rates = {
        name: optimiser.schedule(c.train.learning_rate, updates, c.train.warmup_fraction, c.train.final_fraction)
        for name, c in own.items()
    }
    optimisers = {
        name: optimiser.build(
            c.train.optimiser,
            rates[name],
            clip_norm=c.train.clip_norm,
            weight_decay=c.train.weight_decay,
            accumulate=settings.accumulate,
        )
        for name, c in own.items()
    }
    logits = optimiser.ensemble_weights()
    averaged = [name for name, c in own.items() if c.train.ema_decay > 0]
    coarse = groups(config, survey, coarse_shape(survey, settings.spacing_m))
    trainings = [Training(group, own[group.name], optimisers[group.name]) for group in coarse]
    recomputing = [_recomputing(training) for training in trainings]

    def initial() -> TrainState:
        gathers = jnp.zeros((1, *survey.gathers_shape), jnp.float32)
        bases = {
            name: Start(jnp.full((1, *shape), survey.v_min_km_s, jnp.float32), gathers).on(survey.model_shape)
            for name, shape in (base_shapes or {}).items()
        }
        key, source_x = stream(settings.seed, "init", 0), models.source_x(survey)
        variables = ensemble.init(groups(config, survey), key, gathers, source_x, bases)
        return create(variables, optimisers, logits, averaged)

    validated = groups(config, survey, truth_shape)
    spread = Spread.over(validated, settings.batch_size, devices)

    def step_of(trainings: Sequence[Training]) -> Step:
        return make_step(settings.seed, settings.accumulate, trainings, inputs, None if spread.is_one else spread)

    return Parts(
        groups=validated,
        spread=spread,
        initial=initial,
        step=step_of(trainings),
        leaner=step_of(recomputing) if any(a is not b for a, b in zip(recomputing, trainings, strict=True)) else None,
        validate=make_validation(config.loss, validated, logits, inputs),
        rate=next(iter(rates.values())),
    )


def _recomputing(training: Training) -> Training:
    """The same, computing again instead of keeping where the network's settings leave that open."""
    if getattr(training.config.model, "remat", False) != "auto":
        return training
    group = training.group
    return dataclasses.replace(training, group=dataclasses.replace(group, model=group.model.clone(remat=True)))
