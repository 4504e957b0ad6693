"""Kernel ridge regression in closed form, from projected inputs to the logarithm of velocity.

Linear regression has the kernel x . x'; kernel regression has Laplace's, exp(-|x - x'| / length), which follows the
data where they curve.

In a survey with mirror symmetry every sample counts twice, as it is and mirrored. The kernels do not change when both
their arguments are mirrored, so the mirror-even and mirror-odd parts of the targets do not mix: the regression on 2 N
samples is two on N, with matrices K(x, x') + K(x, mirrored x') and K(x, x') - K(x, mirrored x'), and predictions are
mirror-equivariant by construction. Without the symmetry it is one on N, with K(x, x').
What a sample would be predicted as with itself left out costs nothing more: y_i - a_i / (K^-1)_ii with a = K^-1 y
(Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, eq. 5.12).
"""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ..survey import mirror_velocity
from .features import Arrays, Points, leading, mirror_signs, part

KERNELS = ("linear", "kernel")
COMPONENTS = 192  # principal components of the targets, at most

Grids: TypeAlias = Float[np.ndarray, "n gx gz"]
Queries: TypeAlias = Float[np.ndarray, "m component"]


def fit(
    kernel: str, points: Points, signs: np.ndarray, log_velocity: Grids, penalty: float, mirror: bool
) -> tuple[Arrays, Grids]:
    """The fitted arrays, and each sample's own prediction with itself left out, in km/s.

    ``points`` and ``signs`` come from ``project``; ``log_velocity`` are means over coarse cells. ``penalty`` is
    relative to the kernel's mean diagonal. ``apply`` needs ``points`` again.
    """
    kinds = mirror_signs(mirror)
    centre = part(log_velocity.mean(0), mirror_velocity, kinds[0])
    distances = _squared_distances(points, points)
    scale = np.mean((points**2).sum(1)) if kernel == "linear" else 2 * np.sqrt(np.median(distances))
    scale = np.float32(scale or 1)  # samples that are all alike have no scale, and need none
    plain = gram_matrix(kernel, points, points, scale)
    mirrored = gram_matrix(kernel, points, points * signs, scale) if mirror else np.zeros((), np.float32)
    left_out = np.zeros_like(log_velocity)
    duals, dual_signs, patterns = [], [], []
    for sign in kinds:
        target = part(log_velocity - centre, mirror_velocity, sign).reshape(len(points), -1)
        matrix = (plain + sign * mirrored).astype(np.float64)
        matrix[np.diag_indices_from(matrix)] += penalty
        inverse = scipy.linalg.inv(matrix, overwrite_a=True, check_finite=False).astype(np.float32)
        left_out += (target - (inverse @ target) / np.diag(inverse)[:, None]).reshape(log_velocity.shape)
        vectors, _ = leading(target @ target.T, COMPONENTS // len(kinds))
        duals.append(inverse @ vectors)
        dual_signs.append(np.full(vectors.shape[1], sign, np.float32))
        patterns.append(vectors.T @ target)
    arrays = {
        "scale": np.asarray(scale),
        "duals": np.concatenate(duals, axis=1),
        "dual_signs": np.concatenate(dual_signs),
        "patterns": np.concatenate(patterns).reshape(-1, *log_velocity.shape[1:]).astype(np.float16),
        "mean": centre,
    }
    return arrays, np.exp(left_out + centre)


def apply(
    kernel: str, arrays: Mapping[str, np.ndarray], trained: Points, points: Queries, signs: np.ndarray
) -> Float[np.ndarray, "m gx gz"]:
    """Velocity in km/s on the coarse grid at ``points``, from the arrays that were fitted to the points ``trained``."""
    plain = gram_matrix(kernel, points, trained, arrays["scale"])
    kinds = np.unique(arrays["dual_signs"])
    mirrored = (
        gram_matrix(kernel, points, trained * signs, arrays["scale"]) if kinds.any() else np.zeros((), np.float32)
    )
    weights = np.empty((len(points), arrays["duals"].shape[1]), np.float32)
    for sign in kinds:
        own = arrays["dual_signs"] == sign
        weights[:, own] = (plain + sign * mirrored) @ arrays["duals"][:, own]
    log_velocity = np.tensordot(weights, arrays["patterns"].astype(np.float32), 1)
    return np.exp(log_velocity + arrays["mean"])


def gram_matrix(kernel: str, a: Queries, b: Points, scale: np.ndarray | np.floating) -> Float[np.ndarray, "m n"]:
    """K(x, x') of each point in ``a`` with each in ``b``."""
    if kernel == "linear":
        return a @ b.T / scale
    return np.exp(-np.sqrt(_squared_distances(a, b)) / scale)


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :]
    return np.maximum(squares - 2 * a @ b.T, 0)
