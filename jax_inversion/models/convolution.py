"""Multi-scale convolution that is quick on a CPU too, where XLA's own convolutions are not.

Measured on two AMD cores that other jobs shared, so good for the order only: medians of 3 to 7 runs, forward and
backward, vmap over 3 members, 40 gathers of 32 x 16 positions, 16 channels. One process: banded products 0.13 s, im2col
over one axis with the other as 7 products 0.27 to 0.49 s, as one product 0.41 to 1.5 s, depthwise (fewer weights)
0.33 s. An earlier one: ``lax.conv`` per kernel 3.5 s, im2col 0.65 s, one product for all taps and shifted sums 31 s.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

BLOCK = 16  # columns that one banded matrix covers: wide enough for a quick product, narrow enough to waste little


class MultiScaleConv(nn.Module):
    """Convolutions of several odd kernel sizes side by side, their outputs concatenated; zero-padded, no bias.

    (batch, row, column, channel) to (batch, row, column, features).
    """

    features: int
    kernels: tuple[int, ...] = (1, 3, 5, 7)
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x):
        count, parts = len(self.kernels), []
        for i, k in enumerate(self.kernels):
            shape = (k, k, x.shape[-1], self.features // count + (i < self.features % count))
            part = self.param(f"kernel_{k}", nn.initializers.lecun_normal(), shape)
            parts.append(part.astype(self.dtype))
        return convolve(x.astype(self.dtype), *parts)


def convolve(x, *kernels):
    """Zero-padded correlations of (batch, row, column, channel) with odd square (k, k, channel, feature) kernels, side
    by side: all as one product on a CPU; elsewhere a convolution for each run of kernels of like size.
    """
    return jax.lax.platform_dependent(x, *kernels, cpu=as_one, default=by_size)


def as_one(x, *kernels):
    """``convolve`` by one set of matrix products, of kernels as large as the largest: what is wasted is cheap there."""
    return banded_products(x, padded(kernels))


def by_size(x, *kernels):
    """``convolve`` by a convolution for each run of kernels."""
    return jnp.concatenate([convolution(x, padded(run)) for run in runs(kernels)], axis=-1)


def runs(kernels):
    """``kernels`` in order, parted where padding one to another of its run would waste more than half of its taps."""
    found = [[kernels[0]]]
    for kernel in kernels[1:]:
        taps = [len(each) ** 2 for each in (*found[-1], kernel)]
        if 2 * min(taps) >= max(taps):
            found[-1].append(kernel)
        else:
            found.append([kernel])
    return found


def padded(kernels):
    """One kernel of all their features, as large as the largest, with zeros around the others."""
    widest = max(map(len, kernels))
    margins = [(widest - len(kernel)) // 2 for kernel in kernels]
    return jnp.concatenate(
        [jnp.pad(k, ((m, m), (m, m), (0, 0), (0, 0))) for m, k in zip(margins, kernels, strict=True)], axis=-1
    )


def member_by_member(function):
    """``function`` of arrays, which ``vmap`` calls for one member after another."""

    @jax.custom_batching.custom_vmap
    def unrolled(*arrays):
        return function(*arrays)

    @unrolled.def_vmap
    def rule(members: int, batched, *arrays):
        own = [[a[i] if along else a for a, along in zip(arrays, batched, strict=True)] for i in range(members)]
        results = [unrolled(*each) for each in own]
        return jax.tree.map(lambda *each: jnp.stack(each), *results), jax.tree.map(lambda _: True, results[0])

    return unrolled


def _library(x, kernel):
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


_forward = member_by_member(_library)
_backward = member_by_member(lambda x, kernel, cotangent: jax.vjp(_library, x, kernel)[1](cotangent))


@jax.custom_vjp
def convolution(x, kernel):
    """One kernel's ``convolve`` by XLA's convolution. Members' are computed one after another: ``vmap`` would make them
    a grouped one, which GPUs are slow at. (Both ways are written down, for ``custom_vmap`` alone has no gradient.)
    """
    return _forward(x, kernel)


convolution.defvjp(lambda x, kernel: (_forward(x, kernel), (x, kernel)), lambda saved, ct: _backward(*saved, ct))


def banded_products(x, kernel):
    """One kernel's ``convolve`` by k matrix products, one for each row of the kernel.

    Columns are cut into blocks; to a block's columns and channels, flattened, a row of the kernel is one banded
    matrix. Under ``vmap`` over kernels these become batched products of a good size.
    """
    batch, height, width, channels = x.shape
    size, _, _, features = kernel.shape
    margin, blocks = size // 2, -(-width // BLOCK)
    block = -(-width // blocks)
    edge = margin if blocks > 1 else 0  # beyond a single block there are only zeros: leave them out
    window = block + 2 * edge
    shifted = [jnp.pad(kernel, ((0, 0), (i, block - 1 - i), (0, 0), (0, 0))) for i in range(block)]
    matrices = jnp.stack(shifted, axis=3)[:, margin - edge :][:, :window]
    matrices = matrices.reshape(size, window * channels, block * features)
    x = jnp.pad(x, ((0, 0), (margin, margin), (edge, edge + blocks * block - width), (0, 0)))
    x = jnp.stack([x[:, :, i * block : i * block + window] for i in range(blocks)], axis=2)
    x = x.reshape(batch, height + size - 1, blocks, window * channels)
    y = sum((x[:, i : i + height] @ matrices[i] for i in range(1, size)), x[:, :height] @ matrices[0])
    return y.reshape(batch, height, blocks * block, features)[:, :, :width]
