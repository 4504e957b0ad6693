"""Blocks over a sequence of tokens along one axis: convolution, attention with rotary positions, perceptron."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import DTypeLike

from .attention import attention
from .blocks import layer_norm

TAPS = 9  # tokens under the depthwise convolution
ROTARY_BASE = 1000.0


class SequenceBlock(nn.Module):
    """Depthwise convolution, self-attention and perceptron over (batch, token, width), each added to its input."""

    heads: int = 4
    expansion: int = 3
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x, train: bool):
        width = x.shape[-1]
        y = depthwise(layer_norm(x, self.dtype), self.param("taps", nn.initializers.normal(TAPS**-0.5), (TAPS, width)))
        x = x + self.drop(nn.Dense(width, dtype=self.dtype, name="mixed")(nn.gelu(y)), train)
        y = nn.Dense(3 * width, dtype=self.dtype, name="query_key_value")(layer_norm(x, self.dtype))
        query, key, value = (a.reshape(*x.shape[:2], self.heads, -1) for a in jnp.split(y, 3, axis=-1))
        y = attention(rotate(query), rotate(key), value).reshape(x.shape)
        x = x + self.drop(nn.Dense(width, dtype=self.dtype, name="attended")(y), train)
        y = nn.gelu(nn.Dense(self.expansion * width, dtype=self.dtype, name="wide")(layer_norm(x, self.dtype)))
        return x + self.drop(nn.Dense(width, dtype=self.dtype, name="narrow")(y), train)

    def drop(self, x, train: bool):
        return nn.Dropout(self.dropout)(x, deterministic=not train) if self.dropout else x


@jax.custom_vjp
def depthwise(x, taps):
    """Each channel of (batch, token, width) with its own ``taps`` (tap, width), centred; zeros beyond both ends.

    Shifted slices, which fuse into one loop: a grouped convolution is many times slower on a CPU. Its gradient is
    written down for the same reason: JAX's adds up as many padded arrays as there are taps.
    """
    return sum(part * taps[i].astype(x.dtype)[None, None] for i, part in enumerate(_shifted(x, len(taps))))


def _shifted(x, count: int):
    """What each of ``count`` taps sees of ``x``."""
    padded = jnp.pad(x, ((0, 0), (count // 2, count // 2), (0, 0)))
    return [padded[:, i : i + x.shape[1]] for i in range(count)]


def _depthwise_back(saved, cotangent):
    x, taps = saved
    of_taps = [(part * cotangent).sum((0, 1), dtype=taps.dtype) for part in _shifted(x, len(taps))]
    return depthwise(cotangent, taps[::-1]), jnp.stack(of_taps)


depthwise.defvjp(lambda x, taps: (depthwise(x, taps), (x, taps)), _depthwise_back)


def rotate(x):
    """Rotary positions (Su et al. 2021, arXiv:2104.09864): (batch, token, head, channel) turned, pair by pair of
    channels, by angles that grow with the token's index; dot products then depend on the distance of two tokens.
    """
    channels = x.shape[-1]
    half = channels // 2
    angle = np.outer(np.arange(x.shape[1]), ROTARY_BASE ** (-np.arange(half) / half))[None, :, None]
    cos, sin = np.cos(angle), np.sin(angle)
    # The partner of each channel by a small product: on a CPU a third of the time of slices put together again.
    partner = jnp.asarray(np.roll(np.eye(channels), half, axis=0), x.dtype)
    stay, turn = (jnp.asarray(np.concatenate(pair, -1), x.dtype) for pair in ((cos, cos), (-sin, sin)))
    return x * stay + jnp.einsum("bthc,cd->bthd", x, partner) * turn
