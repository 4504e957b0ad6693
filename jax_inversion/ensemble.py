"""The member axis, and the only place that knows it: init, apply, weights, reduction.

An ensemble's variables are ``{"params", "batch_stats", "logits"}``; the first two are a member's with a leading member
axis, the last is (member,), the weights before the softmax.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from .arrays import Gathers, Velocity

Variables = dict[str, Any]


def init(
    model: nn.Module, key, members: int, gathers_example: Gathers, source_x, base: Velocity | None = None
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
    source_x,
    base: Velocity | None = None,
    train: bool = False,
    key=None,
):
    """Each member on its own (member, batch, ...) data: velocity (member, batch, x, depth) km/s.

    In training ``key`` is split over the members for their dropout, and (velocity, changed collections) comes back:
    ``batch_stats``, and what the network has to say besides.
    """
    if not train:
        return jax.vmap(lambda v, g, b: model.apply(v, g, source_x, b))(_network(variables), gathers, base)

    def member(network, gathers, base, key):
        rngs = {"dropout": key}
        return model.apply(network, gathers, source_x, base, train=True, rngs=rngs, mutable=["batch_stats", "in_time"])

    keys = jax.random.split(key, gathers.shape[0])
    velocity, changed = jax.vmap(member)(_network(variables), gathers, base, keys)
    return velocity, {"batch_stats": {}} | changed


def predict(
    model: nn.Module, variables: Variables, gathers: Gathers, source_x, base: Velocity | None = None
) -> Velocity:
    """Every member on the same (batch, ...) data: velocity (member, batch, x, depth) km/s."""
    return jax.vmap(lambda v: model.apply(v, gathers, source_x, base))(_network(variables))


def weights(logits):
    """(member,) weights: positive, of sum one."""
    return jax.nn.softmax(logits)


def combine(velocity: Velocity, logits) -> Velocity:
    """The weighted average of the members: (member, batch, x, depth) to (batch, x, depth)."""
    return jnp.tensordot(weights(logits), velocity, axes=1)


def weight_loss(logits, velocity: Velocity, true: Velocity, loss: Callable):
    """``loss(average, true)`` as a function of the weights alone: the members are held constant, so stay independent.

    ``velocity`` is the members' (member, batch, x, depth) prediction of the same ``true`` (batch, x, depth).
    """
    return loss(combine(jax.lax.stop_gradient(velocity), logits), true)


def _network(variables: Variables) -> Variables:
    return {"params": variables["params"], "batch_stats": variables["batch_stats"]}
