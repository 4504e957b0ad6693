"""The jitted step of training, a pure function: every group of members learns from its part of a batch."""

import dataclasses
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import PRNGKeyArray

from .. import ensemble, losses, models
from ..config import Config
from ..data.augment import augment
from ..data.inputs import Inputs
from ..ensemble import Group
from ..start import Start
from .compiling import compiler_options
from .devices import Spread
from .samples import bases_in
from .state import OF_GROUPS, TrainState

GROUP_SEED = 1_000_003  # from one group's seed to the next

Batch = Mapping[str, Array]  # as traced; NumPy's arrays may be given
Metrics = dict[str, Array]


def stream(seed: int, name: str, step: Array | int) -> PRNGKeyArray:
    """The random key of the stream ``name`` at ``step``; nothing else is drawn from, so a restart repeats.

    Of JAX's default kind: on a CPU it draws normal numbers in half the time of ``rbg``, and a member's do not depend on
    how many members there are.
    """
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode())), step)


@dataclasses.dataclass(frozen=True)
class Training:
    """A group, its settings and its optimiser."""

    group: Group
    config: Config
    optimiser: optax.GradientTransformation


def make_step(
    seed: int, accumulate: int, trainings: Sequence[Training], inputs: Inputs, spread: Spread | None = None
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """The jitted ``step(state, batch) -> (state, metrics)``; the state that goes in is used up.

    ``inputs`` are fitted to the store. ``batch`` holds ``gathers`` (member, batch, shot, time, receiver), not
    normalised, ``velocity`` (member, batch, x, depth), for each base that networks correct ``base/<its name>`` (member,
    batch, gx, gz), and where they look at its gathers ``base_gathers/<its name>``. Metrics have one value a member:
    every term of the loss, NaN where its group lacks it, ``loss``, ``grad_norm`` (before clipping) and ``finite``.
    ``accumulate``: batches whose gradients make an update. ``spread`` says which devices compute what, where there are
    several.
    """
    updates = [_make_update(accumulate, training, inputs) for training in trainings]
    if spread is not None:
        updates = [spread.member_by_member(update) for update in updates]
    places = ensemble.parts([training.group for training in trainings])

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        new: dict[str, dict[str, Any]] = {name: {} for name in OF_GROUPS}
        metrics: list[Metrics] = []
        for k, (training, update) in enumerate(zip(trainings, updates, strict=True)):
            name = training.group.name
            own = {field: (getattr(state, field) or {}).get(name) for field in OF_GROUPS}
            theirs = {key: array[places[name]] for key, array in batch.items()}
            changed, figures = update(own, state.step, theirs, _keys(seed + k * GROUP_SEED, state.step, theirs))
            metrics.append(figures)
            for field, value in changed.items():
                if value is not None:
                    new[field][name] = value
        whole = {field: value or None if field == "ema" else value for field, value in new.items()}
        return dataclasses.replace(state, step=state.step + 1, **whole), _side_by_side(metrics)

    shardings = None if spread is None else (spread.states, None)
    options = compiler_options(training.group.model for training in trainings)
    return jax.jit(step, donate_argnames="state", out_shardings=shardings, compiler_options=options)


def _keys(seed: int, step: Array, batch: Batch) -> dict[str, Array]:
    """All that a group's members draw from in a step, a key for each, and for each of its samples."""
    members, size = batch["gathers"].shape[:2]
    return {
        "dropout": jax.random.split(stream(seed, "dropout", step), members),
        "augmentation": jax.random.split(stream(seed, "augmentation", step), (members, size)),
    }


def _make_update(accumulate: int, training: Training, inputs: Inputs) -> Callable[..., Any]:
    """``update(own, step, batch, keys) -> (own, metrics)`` of one group's members, or of some of them: they share
    nothing. ``own`` are their parts of the state, by field; ``keys`` as ``_keys`` makes them.
    """
    survey, config, optimiser, model = inputs.survey, training.config, training.optimiser, training.group.model
    source_x = models.source_x(survey)
    prepare = _preparation(config, inputs)
    bounds = survey.v_min_km_s, survey.v_max_km_s

    def loss(params: Any, batch_stats: Any, keys: Array, gathers: Array, velocity: Array, base: Start | None):
        network = {"params": params, "batch_stats": batch_stats}
        predicted, changed = ensemble.apply_in_training(training.group, network, gathers, source_x, keys, base)
        value, terms = jax.vmap(lambda p, t: losses.total(p, t, config.loss, *bounds))(predicted, velocity)
        if config.loss.time:
            (found,) = changed["in_time"]["log_velocity"]
            terms["time"] = jax.vmap(lambda f, t: losses.time(f, *model.in_time(t)))(found, velocity)
            value += config.loss.time * terms["time"]
        # Members share no parameter: the gradient of the sum is each member's own.
        return value.sum(), (changed["batch_stats"], {"loss": value, **terms})

    def update(
        own: Mapping[str, Any], step: Array, batch: Batch, keys: Mapping[str, Array]
    ) -> tuple[dict[str, Any], Metrics]:
        prepared = prepare(keys["augmentation"], batch, bases_in(batch).get(training.group.base))
        params = own["params"]
        slope = jax.value_and_grad(loss, has_aux=True)
        (_, (batch_stats, metrics)), gradients = slope(params, own["batch_stats"], keys["dropout"], *prepared)
        updates, opt_state = optimiser.update(gradients, own["opt_state"], params)
        params = optax.apply_updates(params, updates)
        norm = jax.vmap(optax.tree.norm)(gradients)
        metrics |= {"grad_norm": norm, "finite": jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)}
        ema = average(own["ema"], params, step + 1, config.train.ema_decay, accumulate)
        return {"params": params, "batch_stats": batch_stats, "opt_state": opt_state, "ema": ema}, metrics

    return update


def _side_by_side(metrics: Sequence[Metrics]) -> Metrics:
    """The groups' metrics along one member axis."""
    names = dict.fromkeys(name for figures in metrics for name in figures)
    lacking = [jnp.full_like(figures["loss"], jnp.nan) for figures in metrics]
    return {
        name: jnp.concatenate([figures.get(name, nan) for figures, nan in zip(metrics, lacking, strict=True)])
        for name in names
    }


def _preparation(config: Config, inputs: Inputs) -> Callable[..., tuple[Any, Any, Any]]:
    """``prepare(keys, batch, base) -> (gathers, velocity, base)``: augmented, a key for each member and sample;
    normalised.
    """
    survey = inputs.survey
    settings = config.augment if survey.has_mirror else dataclasses.replace(config.augment, mirror=0.0)

    def one(key: Array, gathers: Array, velocity: Array, base: Start | None) -> tuple[Any, Any, Any]:
        return augment(key, gathers, velocity, inputs.std, survey.dt_s, settings, base)

    def prepare(keys: Array, batch: Batch, base: Start | None) -> tuple[Any, Any, Any]:
        base = None if base is None else inputs.without_background(base)
        arrays = keys, inputs.residual(batch["gathers"]), batch["velocity"], base
        # The barrier: or noise is drawn again wherever it is used.
        gathers, velocity, base = jax.lax.optimization_barrier(jax.vmap(jax.vmap(one))(*arrays))
        seen = None if base is None else inputs.start(gathers, base).on(velocity.shape[-2:])
        return inputs.scaled(gathers), velocity, seen

    return prepare


def average(ema: Any, params: Any, step: Array, decay: float, accumulate: int) -> Any:
    """The exponential average after an update; young averages forget faster, (1 + n) / (10 + n) after n updates."""
    if ema is None:
        return None
    updates = step // accumulate
    keep = jnp.minimum(decay, (1 + updates) / (10 + updates)).astype(jnp.float32)
    keep = jnp.where(step % accumulate == 0, keep, 1.0)
    return jax.tree.map(lambda old, new: old + (1 - keep).astype(old.dtype) * (new - old), ema, params)
