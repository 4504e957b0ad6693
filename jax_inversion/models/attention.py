"""Scaled dot-product attention by what is quickest where it runs: cuDNN's on a GPU, two products elsewhere."""

import math

import jax
import jax.numpy as jnp


def attention(query, key, value):
    """Of (batch, token, head, channel) arrays; the softmax is in float32 whatever they are."""
    return (fused if cudnn_takes(query) else as_products)(query, key, value)


def cudnn_takes(query) -> bool:
    """As JAX lets training have it: numbers of two bytes, up to 128 channels by the eight, tokens by the two.

    And on one device: JAX 0.10 cannot part the call along an axis that XLA spreads, as batches are over devices
    (``training.devices``).
    """
    tokens, _, channels = query.shape[1:]
    fits = query.dtype.itemsize == 2 and channels % 8 == 0 and channels <= 128 and tokens % 2 == 0
    return fits and jax.default_backend() == "gpu" and jax.device_count() == 1


def fused(query, key, value):
    """cuDNN's flash attention, which keeps no logits for the backward pass. JAX mixes types on the way to it."""
    with jax.numpy_dtype_promotion("standard"):
        return jax.nn.dot_product_attention(query, key, value, implementation="cudnn")


def as_products(query, key, value):
    """On a CPU the library's own takes a quarter longer, and its gradient mixes bfloat16 and float32, which strict
    promotion refuses even where the call itself is let through.
    """
    query, key, value = (jnp.swapaxes(a, 1, 2) for a in (query / math.sqrt(query.shape[-1]), key, value))
    logits = jnp.matmul(query, jnp.swapaxes(key, 2, 3), preferred_element_type=jnp.float32)
    # Divided by their sum once the values are added up, which are fewer than the weights.
    weights = jnp.exp(logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True)))
    sums = jnp.matmul(weights.astype(value.dtype), value).astype(jnp.float32)
    return jnp.swapaxes(sums / weights.sum(-1, keepdims=True), 1, 2).astype(value.dtype)
