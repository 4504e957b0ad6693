"""Which samples have amplitudes that cannot be meant: a scale must not come from one sample in another unit."""

import math
from collections.abc import Sequence

import numpy as np

LOUDEST = 1e15  # beyond, float32 has no room for the sum of squares of a sample; a blast in micropascals has 1e13
ABSURD = 100.0  # times the others' level, or that part of it: another unit, or no recording at all
FAR = 10.0  # times the others' level, or that part of it: counts as a sample, but not in the scale


def rms(gathers: np.ndarray) -> float:
    """Root mean square of the amplitudes, summed in float64."""
    return math.sqrt(float(np.mean(np.square(gathers, dtype=np.float64))))


def odd_amplitudes(levels: Sequence[float], factor: float = ABSURD) -> dict[int, str]:
    """What is wrong with the levels (rms) more than ``factor`` off the others', by position.

    The others' level is the median of the logarithms: no single sample moves it. Of two, none can be called odd.
    """
    if len(levels) < 3:
        return {}
    usual = math.exp(float(np.median(np.log(np.maximum(levels, 1e-300)))))
    return {k: fault for k, level in enumerate(levels) if (fault := amplitude_fault(level, usual, factor))}


def amplitude_fault(level: float, usual: float, factor: float = ABSURD) -> str:
    """Says how far ``level`` (rms) is from the ``usual`` one; nothing where it is within ``factor`` of it."""
    if usual <= factor * level <= factor**2 * usual:
        return ""
    return f"amplitudes are {level / usual:.4g} times the usual (root mean square {level:.3g}, not {usual:.3g})"
