"""The two jitted functions of training: one step, one batch of validation. Both are pure."""

import dataclasses
import zlib
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax import Array

from .. import ensemble, losses, models
from ..config import Config
from ..data.augment import augment
from ..data.inputs import Inputs
from ..resampling import resize
from .state import TrainState

Batch = dict[str, Array]
Metrics = dict[str, Array]


def stream(seed: int, name: str, step: Array) -> Array:
    """The random key of the stream ``name`` at ``step``; nothing else is drawn from, so a restart repeats.

    Of the kind ``rbg``: the step compiles in half the time it needs with JAX's default, and draws noise faster.
    """
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed, impl="rbg"), zlib.crc32(name.encode())), step)


def resize_base(base: Array | None, shape: tuple[int, int]) -> Array | None:
    """A coarse base model (..., gx, gz), whose cells cover the section, on ``shape`` cells."""
    return None if base is None else resize(base, shape)


def make_step(
    config: Config, model: nn.Module, optimiser: optax.GradientTransformation, inputs: Inputs
) -> Callable[[TrainState, Batch], tuple[TrainState, Metrics]]:
    """The jitted ``step(state, batch) -> (state, metrics)``; the state that goes in is used up.

    ``inputs`` are fitted to the store. ``batch`` holds ``gathers`` (member, batch, shot,
    time, receiver), not normalised, ``velocity`` (member, batch, x, depth), perhaps ``base`` (member, batch, gx, gz).
    Metrics have one value a member: every term of the loss, ``loss``, ``grad_norm`` (before clipping) and ``finite``.
    """
    survey = inputs.survey
    source_x = models.source_x(survey)
    prepare = _preparation(config, inputs)
    seed, bounds = config.train.seed, (survey.v_min_km_s, survey.v_max_km_s)

    def loss(params: Any, state: TrainState, gathers: Array, velocity: Array, base: Array | None):
        variables = {"params": params, "batch_stats": state.batch_stats, "logits": state.logits}
        key = stream(seed, "dropout", state.step)
        predicted, changed = ensemble.apply(model, variables, gathers, source_x, base=base, train=True, key=key)
        value, terms = jax.vmap(lambda p, t: losses.total(p, t, config.loss, *bounds))(predicted, velocity)
        if config.loss.time:
            (found,) = changed["in_time"]["log_velocity"]
            terms["time"] = jax.vmap(lambda f, t: losses.time(f, *model.in_time(t)))(found, velocity)
            value += config.loss.time * terms["time"]
        # Members share no parameter: the gradient of the sum is each member's own.
        return value.sum(), (changed["batch_stats"], {"loss": value, **terms})

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        prepared = prepare(stream(seed, "augmentation", state.step), batch)
        (_, (batch_stats, metrics)), gradients = jax.value_and_grad(loss, has_aux=True)(state.params, state, *prepared)
        updates, opt_state = optimiser.update(gradients, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        norm = jax.vmap(optax.tree.norm)(gradients)
        metrics |= {"grad_norm": norm, "finite": jnp.isfinite(metrics["loss"]) & jnp.isfinite(norm)}
        new = state.replace(
            step=state.step + 1,
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
            ema=average(state.ema, params, state.step + 1, config.train.ema_decay, config.train.accumulate),
        )
        return new, metrics

    return jax.jit(step, donate_argnames="state")


def make_validation(
    config: Config, model: nn.Module, logits_optimiser: optax.GradientTransformation, inputs: Inputs
) -> Callable[..., tuple[dict[str, Array], tuple[Array, Any]]]:
    """The jitted ``validate(variables, learning, batch) -> (scores, learning)`` of one batch, without augmentation.

    ``batch``: ``gathers`` (batch, shot, time, receiver), ``velocity`` (batch, x, depth), optionally ``base``, and
    ``count``, how many of its samples are real; the others fill the batch up. Scores are means over the real samples:
    ``loss`` and its terms, ``mape`` among them, of the ensemble under ``variables["logits"]``, ``members`` (member,),
    each one's MAPE, and ``predicted`` (batch, x, depth).

    ``learning`` is (logits, their optimiser's state). The ensemble's weights learn here and nowhere else: in a training
    step every member sees other samples, so an average would need further forward passes, and on samples that the
    members were fitted to it would prefer the one that overfits most. Validation has all members' predictions
    of the same unseen samples at no cost. They are held constant, and each batch makes one gradient step on the loss of
    their average. The scores are of the weights that the pass began with, so none is measured on what it was fitted to
    in the same pass; that three numbers learn from validation samples at all is a bias far below the score's own.
    """
    survey = inputs.survey
    source_x = models.source_x(survey)
    bounds = (survey.v_min_km_s, survey.v_max_km_s)

    def validate(
        variables: Any, learning: tuple[Array, Any], batch: Batch
    ) -> tuple[dict[str, Array], tuple[Array, Any]]:
        truth = batch["velocity"]
        gathers = inputs(batch["gathers"])
        base = resize_base(batch.get("base"), truth.shape[-2:])
        members = ensemble.predict(model, variables, gathers, source_x, base)
        predicted = ensemble.combine(members, variables["logits"])
        real = (jnp.arange(truth.shape[0]) < batch["count"]).astype(truth.dtype)

        def mean(each: Array) -> Array:
            return (real * each).sum() / real.sum()

        def mape(guess: Array, truth: Array) -> Array:
            return mean(jax.vmap(losses.mape)(guess, truth))

        logits, opt_state = learning
        slope = jax.grad(ensemble.weight_loss)(logits, members, truth, mape)
        updates, opt_state = logits_optimiser.update(slope, opt_state, logits)
        each = jax.vmap(mape, in_axes=(0, None))(members, truth)
        loss, terms = jax.vmap(lambda p, t: losses.total(p, t, config.loss, *bounds))(predicted, truth)
        terms = jax.tree.map(mean, terms | {"loss": loss})
        scores = {**terms, "members": each, "predicted": predicted}
        return scores, (optax.apply_updates(logits, updates), opt_state)

    return jax.jit(validate)


def _preparation(config: Config, inputs: Inputs) -> Callable[[Array, Batch], tuple[Any, Any, Any]]:
    """``prepare(key, batch) -> (gathers, velocity, base)``: augmented, a key for each member and sample; normalised."""
    survey = inputs.survey
    settings = config.augment if survey.has_mirror else dataclasses.replace(config.augment, mirror=0.0)

    def one(key: Array, gathers: Array, velocity: Array, base: Array | None) -> tuple[Any, Any, Any]:
        return augment(key, gathers, velocity, inputs.std, survey.dt_s, settings, base)

    def prepare(key: Array, batch: Batch) -> tuple[Any, Any, Any]:
        keys = jax.random.split(key, batch["gathers"].shape[:2])
        arrays = keys, inputs.residual(batch["gathers"]), batch["velocity"], batch.get("base")
        gathers, velocity, base = jax.vmap(jax.vmap(one))(*arrays)
        return inputs.scaled(gathers), velocity, resize_base(base, velocity.shape[-2:])

    return prepare


def average(ema: Any, params: Any, step: Array, decay: float, accumulate: int) -> Any:
    """The exponential average after an update; young averages forget faster, (1 + n) / (10 + n) after n updates."""
    if ema is None:
        return None
    updates = step // accumulate
    keep = jnp.minimum(decay, (1 + updates) / (10 + updates)).astype(jnp.float32)
    keep = jnp.where(step % accumulate == 0, keep, 1.0)
    return jax.tree.map(lambda old, new: old + (1 - keep).astype(old.dtype) * (new - old), ema, params)
