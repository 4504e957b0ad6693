"""One pass over the validation samples: the score, and a little learning of the ensemble's weights."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import ensemble
from ..data.store import Store
from .state import TrainState

SHOWN = 2  # samples whose predictions are kept for a figure


@dataclass(frozen=True)
class Scores:
    """Means over the samples of the ensemble's loss and its terms and of each member's MAPE (fractions), and the first
    predictions (sample, x, depth).
    """

    terms: dict[str, float]  # of the ensemble's loss, ``loss`` itself and ``mape`` among them
    members: np.ndarray
    weights: np.ndarray  # of the members, that gave ``mape``
    rows: np.ndarray
    predicted: np.ndarray

    def figures(self) -> dict[str, float]:
        """By the names of ``metrics.jsonl``."""
        terms = {f"validation/{name}": value for name, value in self.terms.items()}
        members = {f"validation/mape/{k}": float(v) for k, v in enumerate(self.members)}
        weights = {f"ensemble/weight/{k}": float(v) for k, v in enumerate(self.weights)}
        return {**terms, **members, **weights}

    @property
    def mape(self) -> float:
        return self.terms["mape"]


def validate(
    one_batch: Callable[..., Any],
    state: TrainState,
    store: Store,
    rows: np.ndarray,
    batch_size: int,
    base: np.ndarray | None = None,
) -> tuple[Scores, TrainState]:
    """Score ``state`` on the store's ``rows`` with ``step.make_validation``'s function; the state with learnt weights.

    The scores are those of the logits that went in, so those are the ones to predict with.
    ``base`` has a coarse model for each row of the store.
    """
    learning = state.logits, state.logits_opt_state
    results, counts = [], []
    for start in range(0, len(rows), batch_size):
        chunk = rows[start : start + batch_size]
        filled = np.resize(chunk, batch_size)  # one shape for all batches, so one compilation
        batch = {"gathers": store.gathers[filled], "velocity": store.models[filled], "count": np.int32(len(chunk))}
        if base is not None:
            batch["base"] = base[filled]
        scores, learning = one_batch(state.variables, learning, batch)
        predicted = scores.pop("predicted")
        first = predicted[: min(SHOWN, len(chunk))] if not results else first
        results.append(scores)
        counts.append(len(chunk))
    means = jax.tree.map(lambda *parts: np.average(parts, axis=0, weights=counts), *jax.device_get(results))
    weights = np.asarray(ensemble.weights(state.logits))
    members = means.pop("members")
    terms = {name: float(value) for name, value in means.items()}
    scores = Scores(terms, members, weights, rows[: len(first)], np.asarray(first))
    logits, opt_state = learning
    return scores, dataclasses.replace(state, logits=jnp.asarray(logits), logits_opt_state=opt_state)
