"""From gathers to the few numbers that the regressions see: averages in time, then principal components.

A ``sign`` says how a component behaves in the lateral mirror: +1 it stays (mirror-even), -1 it changes its sign
(mirror-odd), 0 the survey has no mirror symmetry and nothing is known.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ..survey import mirror_gathers

COMPONENTS = 512  # principal components, at most
GAIN = 30.0  # amplitudes of 1 / (GAIN t / 1 s) standard deviations are where arcsinh begins to compress

Arrays: TypeAlias = dict[str, np.ndarray]
Gathers: TypeAlias = Float[np.ndarray, "n shot time receiver"]
Inputs: TypeAlias = Float[np.ndarray, "n shot interval receiver"]
Points: TypeAlias = Float[np.ndarray, "n component"]


def mirror_signs(mirror: bool) -> tuple[int, ...]:
    """The signs of the parts that a field falls into."""
    return (+1, -1) if mirror else (0,)


def part(values: np.ndarray, mirrored: Callable[[np.ndarray], np.ndarray], sign: int) -> np.ndarray:
    """The mirror-even (+1) or mirror-odd (-1) part of ``values``; all of them (0) where there is no mirror."""
    return (values + sign * mirrored(values)) / 2 if sign else values


def features(gathers: Gathers, dt_s: float, interval_s: float, gain: float) -> Inputs:
    """Averages over ``interval_s``: of arcsinh(gain * t / 1 s * amplitude), or, with a gain of 0, of amplitudes.

    What is left at the end of the traces, shorter than an interval, is not seen.
    """
    n, shots, nt, receivers = gathers.shape
    step = max(1, round(interval_s / dt_s))
    kept = nt // step * step
    gathers = gathers[:, :, :kept]
    if gain:
        gathers = np.arcsinh(gathers * (np.arange(kept) * dt_s * gain).astype(np.float32)[:, None])
    return gathers.reshape(n, shots, kept // step, step, receivers).mean(3, dtype=np.float32)


def project(inputs: Inputs, mirror: bool) -> tuple[Arrays, Points]:
    """Principal components of the inputs, mirror-even ones first: what ``components`` needs, and the points."""
    signs = mirror_signs(mirror)
    centre = part(inputs.mean(0), mirror_gathers, signs[0])
    bases = []
    for sign in signs:
        flat = part(inputs - centre, mirror_gathers, sign).reshape(len(inputs), -1)
        vectors, values = leading(flat @ flat.T, COMPONENTS // len(signs))
        bases.append(flat.T @ (vectors / np.sqrt(values)))
    each = [np.full(basis.shape[1], sign, np.float32) for basis, sign in zip(bases, signs, strict=True)]
    arrays = {
        "centre": centre,
        "basis": np.concatenate(bases, axis=1).astype(np.float16),
        "signs": np.concatenate(each),
    }
    return arrays, components(arrays, inputs)


def components(arrays: Mapping[str, np.ndarray], inputs: Inputs) -> Points:
    """Projected inputs, from ``features``."""
    return (inputs - arrays["centre"]).reshape(len(inputs), len(arrays["basis"])) @ arrays["basis"].astype(np.float32)


def leading(
    gram: Float[np.ndarray, "n n"], count: int
) -> tuple[Float[np.ndarray, "n kept"], Float[np.ndarray, " kept"]]:
    """The ``count`` largest eigenvectors, as columns, and their eigenvalues; those of rounding's size are left out."""
    n = len(gram)
    values, vectors = scipy.linalg.eigh(gram, subset_by_index=(max(0, n - count), n - 1), check_finite=False)
    real = values > 1e-6 * max(values[-1], 1e-30)
    return vectors[:, real], values[real]
