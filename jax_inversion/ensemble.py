"""The member axis and the groups, and the only place that knows them: init, apply, weights, reduction.

An ensemble is groups of members, each of one architecture. Its variables are ``{"params", "batch_stats", "logits"}``;
the first two map a group's name to its members', stacked along a leading member axis; ``logits`` (member,) are the
weights of all members, group after group, before the softmax.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from .arrays import Gathers
from .start import Start

Variables = dict[str, Any]
Sources = Float[Array | np.ndarray, " shot"]
Members = Float[Array, "member batch x depth"]
Logits = Float[Array | np.ndarray, " member"]
NONE = "none"  # what members correct that correct nothing


@dataclass(frozen=True)
class Group:
    """``members`` of one architecture, which correct the models of one ``base``, by its name; with ``residual`` they
    see what these leave of the gathers, too.
    """

    name: str
    model: nn.Module
    members: int
    base: str = NONE
    residual: bool = False


Groups = Sequence[Group]
Bases = Mapping[str, Start]  # by name, those that groups correct, as networks see them


def parts(groups: Groups) -> dict[str, slice]:
    """Where on the member axis each group's members are."""
    ends = np.cumsum([0, *(group.members for group in groups)])
    return {group.name: slice(int(a), int(b)) for group, a, b in zip(groups, ends, ends[1:], strict=False)}


def init(groups: Groups, key: PRNGKeyArray, gathers_example: Gathers, source_x: Sources, bases: Bases) -> Variables:
    """Members that start from keys of their own, equally weighted. The example is (batch, shot, time, receiver)."""
    params, stats = {}, {}
    for k, group in enumerate(groups):
        keys = jax.random.split(jax.random.fold_in(key, k), group.members)
        arguments = gathers_example, source_x, *_seen(group, bases.get(group.base))
        stacked = jax.vmap(lambda key, model=group.model, given=arguments: model.init(key, *given))(keys)
        params[group.name], stats[group.name] = stacked["params"], stacked.get("batch_stats", {})
    count = sum(group.members for group in groups)
    return {"params": params, "batch_stats": stats, "logits": jnp.zeros(count, jnp.float32)}


def apply_in_training(
    group: Group,
    network: Variables,
    gathers: Gathers,
    source_x: Sources,
    keys: Shaped[Array, " member"],
    base: Start | None = None,
) -> tuple[Members, Variables]:
    """Each of a group's members, or of those on one device, on its own (member, batch, ...) data: velocity (member,
    batch, x, depth) km/s.

    ``network`` has the members' ``params`` and ``batch_stats``. With dropout, for which there are ``keys``, and with
    the changed collections: ``batch_stats``, and what the network has to say besides.
    """

    def member(network: Variables, gathers: Gathers, base: Start | None, key: PRNGKeyArray) -> Any:
        given = gathers, source_x, *_seen(group, base)
        return group.model.apply(network, *given, train=True, rngs={"dropout": key}, mutable=["batch_stats", "in_time"])

    velocity, changed = jax.vmap(member)(network, gathers, base, keys)
    return velocity, {"batch_stats": {}, **changed}


def predict(groups: Groups, variables: Variables, gathers: Gathers, source_x: Sources, bases: Bases) -> Members:
    """Every member on the same (batch, ...) data: velocity (member, batch, x, depth) km/s."""

    def of_group(group: Group) -> Members:
        network = {name: variables[name][group.name] for name in ("params", "batch_stats")}
        given = gathers, source_x, *_seen(group, bases.get(group.base))

        def member(network: Variables) -> Any:
            return group.model.apply(network, *given)

        return jax.vmap(member)(network)

    return jnp.concatenate([of_group(group) for group in groups])


def _seen(group: Group, base: Start | None) -> Sequence[Any]:
    """A network's further arguments: the model that it corrects, and what that leaves of the gathers where it looks."""
    if group.residual:
        assert base is not None and base.gathers is not None, f"{group.name} looks at its base's gathers"
    return () if base is None else base if group.residual else base[:1]


def weights(logits: Logits) -> Float[Array, " member"]:
    """(member,) weights: positive, of sum one."""
    return jax.nn.softmax(logits)


def combine(velocity: Members, logits: Logits) -> Float[Array, "batch x depth"]:
    """The weighted average of the members: (member, batch, x, depth) to (batch, x, depth)."""
    return jnp.tensordot(weights(logits), velocity, axes=1)


def weight_loss(
    logits: Logits, velocity: Members, true: Float[Array, "batch x depth"], loss: Callable[[Array, Array], Array]
) -> Float[Array, ""]:
    """``loss(average, true)`` as a function of the weights alone: the members are held constant, so stay independent.

    ``velocity`` is the members' (member, batch, x, depth) prediction of the same ``true`` (batch, x, depth).
    """
    return loss(combine(jax.lax.stop_gradient(velocity), logits), true)
