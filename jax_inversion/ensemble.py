"""The member axis, and the only place that knows it: init, apply, weights, reduction.

An ensemble's variables are ``{"params", "batch_stats", "logits"}``; the first two are a member's with a leading member
axis, the last is (member,), the weights before the softmax.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray

from .arrays import Gathers, Velocity

Variables = dict[str, Any]
Sources = Float[Array | np.ndarray, " shot"]
Members = Float[Array, "member batch x depth"]
Logits = Float[Array | np.ndarray, " member"]


def init(
    model: nn.Module,
    key: PRNGKeyArray,
    members: int,
    gathers_example: Gathers,
    source_x: Sources,
    base: Velocity | None = None,
) -> Variables:
    """Members that start from keys of their own, equally weighted. The example is (batch, shot, time, receiver)."""
    keys = jax.random.split(key, members)
    stacked = jax.vmap(lambda k: model.init(k, gathers_example, source_x, base))(keys)
    stats = stacked.get("batch_stats", {})
    return {"params": stacked["params"], "batch_stats": stats, "logits": jnp.zeros(members, jnp.float32)}


def apply(
    model: nn.Module,
    variables: Variables,
    gathers: Gathers,
    source_x: Sources,
    base: Velocity | None = None,
) -> Members:
    """Each member on its own (member, batch, ...) data: velocity (member, batch, x, depth) km/s."""

    def member(network: Variables, gathers: Gathers, base: Velocity | None) -> Any:
        return model.apply(network, gathers, source_x, base)

    return jax.vmap(member)(_network(variables), gathers, base)


def apply_in_training(
    model: nn.Module,
    variables: Variables,
    gathers: Gathers,
    source_x: Sources,
    key: PRNGKeyArray,
    base: Velocity | None = None,
) -> tuple[Members, Variables]:
    """As ``apply``, with dropout, for which ``key`` is split over the members, and with the changed collections:
    ``batch_stats``, and what the network has to say besides.
    """

    def member(network: Variables, gathers: Gathers, base: Velocity | None, key: PRNGKeyArray) -> Any:
        rngs = {"dropout": key}
        return model.apply(network, gathers, source_x, base, train=True, rngs=rngs, mutable=["batch_stats", "in_time"])

    keys = jax.random.split(key, gathers.shape[0])
    velocity, changed = jax.vmap(member)(_network(variables), gathers, base, keys)
    return velocity, {"batch_stats": {}, **changed}


def predict(
    model: nn.Module, variables: Variables, gathers: Gathers, source_x: Sources, base: Velocity | None = None
) -> Members:
    """Every member on the same (batch, ...) data: velocity (member, batch, x, depth) km/s."""

    def member(network: Variables) -> Any:
        return model.apply(network, gathers, source_x, base)

    return jax.vmap(member)(_network(variables))


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


def _network(variables: Variables) -> Variables:
    return {"params": variables["params"], "batch_stats": variables["batch_stats"]}
