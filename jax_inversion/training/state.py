"""What training carries from step to step: one small pytree."""

from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import serialization, struct

from ..errors import UserError

Tree = Any
OF_GROUPS = "params", "batch_stats", "opt_state", "ema"  # fields of the state that are by group


@struct.dataclass
class TrainState:
    """The whole state of a run but for the loader's position. ``params``, ``batch_stats``, ``opt_state`` and ``ema``
    are by group, every leaf with the member axis first; ``logits`` (member,) are the weights before the softmax.
    Leaves are JAX's arrays, NumPy's while a checkpoint is read, or shapes (``jax.eval_shape``).
    """

    step: Tree  # int32: batches seen by each member
    params: Tree
    batch_stats: Tree
    opt_state: Tree
    ema: Tree | None  # average of ``params`` of the groups that keep one; None where none does
    logits: Tree
    logits_opt_state: Tree

    @property
    def variables(self) -> dict[str, Tree]:
        """What predictions are made with: the averaged weights where there are any."""
        params = self.params | (self.ema or {})
        return {"params": params, "batch_stats": self.batch_stats, "logits": self.logits}


def create(
    variables: dict[str, Tree],
    optimisers: Mapping[str, optax.GradientTransformation],
    logits_optimiser: optax.GradientTransformation,
    averaged: Collection[str],
) -> TrainState:
    """The state at step 0, from ``ensemble.init``'s variables. ``optimisers`` by group; ``averaged`` groups have an
    average of their weights.
    """
    params, logits = variables["params"], variables["logits"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables["batch_stats"],
        opt_state={name: optimiser.init(params[name]) for name, optimiser in optimisers.items()},
        # A copy, for the step is given its state's memory and cannot be given the same piece twice.
        ema={name: jax.tree.map(jnp.copy, params[name]) for name in averaged} or None,
        logits=logits,
        logits_opt_state=logits_optimiser.init(logits),
    )


def started(state: TrainState, variables: Mapping[str, Tree], where: str) -> TrainState:
    """``state``, at step 0, with the ``variables`` that were trained before and are read from ``where``.

    A part of the networks that they lack is taken as it begins where that is at zero; ``UserError`` where they are of
    other networks.
    """
    like = to_dict(state)
    given = {name: variables[name] for name in ("params", "batch_stats", "logits")}
    given["params"] = _grown(given["params"], like["params"])
    ema = state.ema and {name: given["params"].get(name) for name in state.ema}
    return from_dict(like | given | {"ema": ema}, state, where)


def _grown(given: Mapping[str, Tree], own: Mapping[str, Tree]) -> dict[str, Tree]:
    """``given`` and what ``own`` has beside it if that begins at zero: with it the network does what it did without."""
    grown = dict(given)
    for name, tree in own.items():
        if name in grown and isinstance(tree, Mapping):
            grown[name] = _grown(grown[name], tree)
        elif name not in grown and not any(np.any(leaf) for leaf in jax.tree.leaves(tree)):
            grown[name] = tree
    return grown


def to_dict(state: TrainState) -> dict[str, Tree]:
    """Nested dicts of numpy arrays: no class of ours or of optax is needed to read them back.

    They are copies, so that the state's memory may be used again at once.
    """
    return jax.tree.map(_own, serialization.to_state_dict(jax.device_get(state)))


def from_dict(values: dict[str, Tree], like: TrainState, where: str) -> TrainState:
    """The inverse of ``to_dict``, for ``like``'s structure, shapes and types; ``UserError`` where they differ."""
    try:
        state = serialization.from_state_dict(like, values)
        wrong = [
            f"{jax.tree_util.keystr(path)} is {found.dtype} {np.shape(found)}, not {expected.dtype} {expected.shape}"
            for (path, expected), found in zip(
                jax.tree_util.tree_leaves_with_path(like), jax.tree.leaves(state), strict=True
            )
            if (np.shape(found), found.dtype) != (expected.shape, expected.dtype)
        ]
    except (ValueError, KeyError, AttributeError) as error:
        raise UserError(
            f"{where}: the checkpoint belongs to another model or optimiser: {_first_line(error)}"
        ) from None
    if wrong:
        raise UserError(f"{where}: the checkpoint belongs to another model: {wrong[0]} ({len(wrong)} differ)")
    return jax.tree.map(jnp.array, state)  # copies: memory that numpy owns must not be donated


def _own(array: Any) -> np.ndarray:
    array = np.asarray(array)  # on a CPU a view of what JAX holds
    return array if array.flags.owndata else array.copy()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
