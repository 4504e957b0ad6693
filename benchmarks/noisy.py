"""Gathers with noise of a known level, as the tables of other scripts here need them."""

import numpy as np
from scipy import signal

from jax_inversion.inference.predictor import Predictor

LEVELS = (0.01, 0.03, 0.1)
KINDS = ("white", "low")
LOW_HZ = 5.0


def noise(predictor: Predictor, gathers: np.ndarray, level: float, kind: str) -> np.ndarray:
    """Of ``level`` times each sample's root mean square of what the section adds to the background's response.

    ``gathers`` (sample, shot, time, receiver) are decimated; ``white`` noise reaches their Nyquist frequency, ``low``
    noise ``LOW_HZ``. The same for the same shape each time.
    """
    if not level:
        return np.zeros((), np.float32)
    strength = np.sqrt(((gathers - predictor.inputs.whitening.background) ** 2).mean((1, 2, 3), keepdims=True))
    drawn = np.random.default_rng(0).standard_normal(gathers.shape)
    if kind == "low":
        section = signal.butter(4, LOW_HZ, fs=1 / predictor.restored.survey.dt_s, output="sos")
        drawn = signal.sosfiltfilt(section, drawn, axis=2)
        drawn /= drawn.std()
    return (level * strength * drawn).astype(np.float32)


def name(level: float, kind: str) -> str:
    """Of the noise, in a table."""
    return (
        f"{100 * level:g} % {'white noise' if kind == 'white' else f'noise below {LOW_HZ:g} Hz'}" if level else "none"
    )
