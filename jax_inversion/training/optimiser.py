"""Learning rate and optimiser; members are optimised side by side and know nothing of each other."""

from typing import Any

import jax
import numpy as np
import optax

from .muon import muon


def schedule(learning_rate: float, updates: int, warmup_fraction: float, final_fraction: float) -> optax.Schedule:
    """Linear warm-up, then a cosine to ``final_fraction`` of the rate at the last of ``updates`` (Loshchilov and Hutter
    2017, arXiv:1608.03983). The first update already moves: its rate is that of one warm-up step, not zero.
    """
    warmup = round(warmup_fraction * updates)
    return optax.warmup_cosine_decay_schedule(
        init_value=learning_rate / (warmup + 1),
        peak_value=learning_rate,
        warmup_steps=warmup,
        decay_steps=max(updates, warmup + 1),
        end_value=final_fraction * learning_rate,
    )


def rates_of(rate: optax.Schedule, updates: int) -> np.ndarray:
    """The rate of each update, on the host: asked one by one, a device would be at work for each."""
    with jax.numpy_dtype_promotion("standard"):
        return np.asarray(jax.jit(jax.vmap(rate))(np.arange(updates)))


def build(
    name: str, rate: optax.Schedule, *, clip_norm: float, weight_decay: float, accumulate: int = 1
) -> optax.GradientTransformation:
    """``adamw`` or ``muon`` for parameters whose leaves have the member axis first: each member's gradient is clipped
    to ``clip_norm`` by its own global norm. Weight decay spares biases and norms (leaves of one axis in a single
    member); Muon's spares all but the matrices that it has.

    With ``accumulate`` above 1 the mean gradient of so many steps makes one update, and ``rate`` counts updates.
    """
    if name == "muon":
        update = muon(rate, weight_decay=weight_decay)
    else:
        update = optax.adamw(rate, weight_decay=weight_decay, mask=lambda p: jax.tree.map(lambda x: x.ndim > 1, p))
    one = optax.chain(optax.clip_by_global_norm(clip_norm), update)
    if accumulate > 1:
        one = optax.MultiSteps(one, accumulate).gradient_transformation()

    def update_members(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return jax.vmap(one.update)(updates, state, params)

    return _lenient(optax.GradientTransformation(jax.vmap(one.init), update_members))


def ensemble_weights(learning_rate: float = 0.05) -> optax.GradientTransformation:
    """For the ensemble's logits, few and well scaled: plain Adam."""
    return _lenient(optax.adam(learning_rate))


def _lenient(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """``inner`` under JAX's usual promotion rules: optax itself does not keep to the strict ones of the tests."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        with jax.numpy_dtype_promotion("standard"):
            return inner.update(updates, state, params)

    return optax.GradientTransformation(inner.init, update)
