"""Muon for the matrices inside a network's repeated blocks, AdamW for everything else."""

import re

import jax
import optax
from optax import contrib

BLOCK = re.compile(r"(?:block|layer)_\d+$")  # modules whose matrices are hidden ones
NEWTON_SCHULZ = ((3.4445, -4.7750, 2.0315),) * 5  # a step each: as a scan it compiles and runs faster than one triple


def hidden_matrices(params):
    """For each leaf of one member's ``params``: how Muon sees it, or None where AdamW has it.

    Embeddings, heads, norms, biases and taps are not matrices between hidden activations, which is what Muon is for.
    """

    def see(path, leaf):
        names = [getattr(key, "key", str(key)) for key in path]
        hidden = names[-1] == "kernel" and leaf.ndim == 2 and any(BLOCK.search(name) for name in names)
        return contrib.MuonDimensionNumbers(reduction_axis=0, output_axis=1) if hidden else None

    return jax.tree_util.tree_map_with_path(see, params)


def muon(rate: optax.Schedule, *, weight_decay: float) -> optax.GradientTransformation:
    """For one member: momentum made orthogonal, matrix by matrix (Jordan 2024, https://kellerjordan.github.io/posts/muon).

    Members that are vmapped over have a matrix each, so each one's is made orthogonal by itself.
    """
    return contrib.muon(
        rate,
        ns_coeffs=NEWTON_SCHULZ,
        weight_decay=weight_decay,
        muon_weight_dimension_numbers=hidden_matrices,
    )
