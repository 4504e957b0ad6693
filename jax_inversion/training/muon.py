"""Muon for the matrices inside a network's repeated blocks, AdamW for everything else.

optax's own (``optax.contrib.muon``) is made of the same parts. Only ``orthogonal`` is ours: it takes half the time for
matrices as small as ours, and that is a seventh of a step.
"""

import math
import re

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

BLOCK = re.compile(r"(?:block|layer)_\d+$")  # modules whose matrices are hidden ones
QUINTIC = 3.4445, -4.7750, 2.0315  # of the Newton-Schulz steps: singular values end between 0.7 and 1.2
STEPS = 5
MOMENTUM = 0.95


def muon(rate: optax.Schedule, *, weight_decay: float) -> optax.GradientTransformation:
    """For one member: momentum made orthogonal, matrix by matrix (Jordan 2024, https://kellerjordan.github.io/posts/muon).

    Members that are vmapped over have a matrix each, so each one's is made orthogonal by itself.
    """
    hidden = optax.chain(
        optax.trace(MOMENTUM, nesterov=True),
        optax.stateless_with_tree_map(lambda update, _: _widened(orthogonal(jnp.asarray(update)))),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(rate),
    )
    return optax.partition({"muon": hidden, "adam": optax.adamw(rate, weight_decay=0.0, nesterov=True)}, optimisers_of)


def optimisers_of(params):
    """For each leaf of one member's ``params``: whether "muon" or "adam" has it.

    Embeddings, heads, norms, biases and taps are not matrices between hidden activations, which is what Muon is for.
    """

    def choose(path, leaf):
        names = [getattr(key, "key", str(key)) for key in path]
        hidden = names[-1] == "kernel" and leaf.ndim == 2 and any(BLOCK.search(name) for name in names)
        return "muon" if hidden else "adam"

    return jax.tree_util.tree_map_with_path(choose, params)


def orthogonal(matrix: Float[Array, "row column"]) -> Float[Array, "row column"]:
    """``matrix`` with all singular values near 1, by Newton-Schulz steps X <- (a + b XX' + c (XX')^2) X.

    All iterates are polynomials of the first XX' times the first X, so the steps are taken with these polynomials, in
    the smaller dimension alone, and multiply the matrix once.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T).T
    a, b, c = QUINTIC
    matrix = matrix / (jnp.linalg.norm(matrix) + 1e-8)
    gram, unit = matrix @ matrix.T, jnp.eye(len(matrix), dtype=matrix.dtype)
    product = unit
    for k in range(STEPS):
        step = a * unit + b * gram + c * (gram @ gram)
        product = step @ product if k else step
        gram = step @ (step @ gram)
    return product @ matrix


def _widened(matrix: Float[Array, "row column"]) -> Float[Array, "row column"]:
    """Scaled as a (in, out) kernel's update, so that one rate suits all shapes."""
    rows, columns = matrix.shape
    return matrix * math.sqrt(max(1.0, columns / rows))
