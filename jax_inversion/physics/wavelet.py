"""Source wavelets."""

import numpy as np


def ricker(t_s: np.ndarray, peak_hz: float) -> np.ndarray:
    """Ricker wavelet of peak frequency ``peak_hz``, delayed by one period: (1 - 2 r^2) exp(-r^2), r = pi f (t - 1/f).

    Ricker (1953), doi:10.1190/1.1437843. ``t_s`` is in seconds; any shape.
    """
    r = np.pi * peak_hz * (np.asarray(t_s) - 1 / peak_hz)
    return (1 - 2 * r**2) * np.exp(-(r**2))
