"""One pass over the validation samples: the score, and a little learning of the ensemble's weights."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.typing import ArrayLike

from .. import ensemble, losses, models
from ..data.inputs import Inputs
from ..data.store import Store
from ..ensemble import Groups
from ..losses import LossConfig
from .samples import bases_in
from .state import TrainState
from .step import Batch

SHOWN = 2  # samples whose predictions are kept for a figure


@dataclass(frozen=True)
class Scores:
    """Means over the samples of the ensemble's loss and its terms and of each member's MAPE (fractions), and the first
    predictions (sample, x, depth).
    """

    terms: dict[str, float]  # of the ensemble's loss, ``loss`` itself and ``mape`` among them
    members: np.ndarray
    groups: dict[str, float]  # MAPE of each group's own average
    weights: np.ndarray  # of the members, that gave ``mape``
    rows: np.ndarray
    predicted: np.ndarray

    def figures(self) -> dict[str, float]:
        """By the names of ``metrics.jsonl``."""
        terms = {f"validation/{name}": value for name, value in self.terms.items()}
        members = {f"validation/mape/{k}": float(v) for k, v in enumerate(self.members)}
        weights = {f"ensemble/weight/{k}": float(v) for k, v in enumerate(self.weights)}
        groups = (
            {f"validation/mape/{name}": value for name, value in self.groups.items()} if len(self.groups) > 1 else {}
        )
        return {**terms, **members, **groups, **weights}

    @property
    def mape(self) -> float:
        return self.terms["mape"]


def make_validation(
    loss: LossConfig, groups: Groups, logits_optimiser: optax.GradientTransformation, inputs: Inputs
) -> Callable[..., tuple[dict[str, Array], tuple[Any, Any]]]:
    """The jitted ``validate(variables, learning, batch) -> (scores, learning)`` of one batch, without augmentation.

    ``batch``: ``gathers`` (batch, shot, time, receiver), ``velocity`` (batch, x, depth), each base as in ``make_step``,
    and ``count``, how many of its samples are real; the others fill the batch up. Scores are means over the real
    samples: ``loss`` and its terms, ``mape`` among them, of the ensemble under ``variables["logits"]``, ``members``
    (member,), each one's MAPE, ``groups``, by name, that of each group's own average, and ``predicted`` (batch, x,
    depth).

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

    def validate(variables: Any, learning: tuple[Array, Any], batch: Batch) -> tuple[dict[str, Array], tuple[Any, Any]]:
        truth = batch["velocity"]
        residual, (nx, nz) = inputs.residual(batch["gathers"]), truth.shape[-2:]
        bases = {
            name: inputs.start(residual, inputs.without_background(base)).on((nx, nz))
            for name, base in bases_in(batch).items()
        }
        members = ensemble.predict(groups, variables, inputs.scaled(residual), source_x, bases)
        predicted = ensemble.combine(members, variables["logits"])
        real = (jnp.arange(truth.shape[0]) < batch["count"]).astype(truth.dtype)

        def mean(each: ArrayLike) -> Array:
            return (real * each).sum() / real.sum()

        def mape(guess: Array, truth: Array) -> Array:
            return mean(jax.vmap(losses.mape)(guess, truth))

        logits, opt_state = learning
        slope = jax.grad(ensemble.weight_loss)(logits, members, truth, mape)
        updates, opt_state = logits_optimiser.update(slope, opt_state, logits)
        each = jax.vmap(mape, in_axes=(0, None))(members, truth)
        averages = {
            name: ensemble.combine(members[part], variables["logits"][part])
            for name, part in ensemble.parts(groups).items()
        }
        value, terms = jax.vmap(lambda p, t: losses.total(p, t, loss, *bounds))(predicted, truth)
        terms = jax.tree.map(mean, terms | {"loss": value})
        of_groups = {name: mape(average, truth) for name, average in averages.items()}
        scores = {**terms, "members": each, "groups": of_groups, "predicted": predicted}
        return scores, (optax.apply_updates(logits, updates), opt_state)

    return jax.jit(validate)


def validate(
    one_batch: Callable[..., Any],
    state: TrainState,
    store: Store,
    rows: np.ndarray,
    batch_size: int,
    extra: Mapping[str, np.ndarray],
) -> tuple[Scores, TrainState]:
    """Score ``state`` on the store's ``rows`` with ``make_validation``'s function; the state with learnt weights.

    The scores are those of the logits that went in, so those are the ones to predict with.
    ``extra`` are the batch's further arrays, a row for each of the store: those of the bases.
    """
    learning = state.logits, state.logits_opt_state
    results, counts = [], []
    for start in range(0, len(rows), batch_size):
        chunk = rows[start : start + batch_size]
        filled = np.resize(chunk, batch_size)  # one shape for all batches, so one compilation
        batch = {"gathers": store.gathers[filled], "velocity": store.models[filled], "count": np.int32(len(chunk))}
        batch |= {name: array[filled] for name, array in extra.items()}
        scores, learning = one_batch(state.variables, learning, batch)
        predicted = scores.pop("predicted")
        first = predicted[: min(SHOWN, len(chunk))] if not results else first
        results.append(scores)
        counts.append(len(chunk))
    means = jax.tree.map(lambda *parts: np.average(parts, axis=0, weights=counts), *jax.device_get(results))
    weights = np.asarray(ensemble.weights(state.logits))
    members = means.pop("members")
    groups = {name: float(value) for name, value in means.pop("groups").items()}
    terms = {name: float(value) for name, value in means.items()}
    scores = Scores(terms, members, groups, weights, rows[: len(first)], np.asarray(first))
    logits, opt_state = learning
    return scores, dataclasses.replace(state, logits=jnp.asarray(logits), logits_opt_state=opt_state)
