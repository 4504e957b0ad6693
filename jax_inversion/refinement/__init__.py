"""Waveform inversion that starts at a prediction: what a correction looks like, how it is found, what judges it."""

from .inversion import Refined, Setting, refine
from .prior import Prior

__all__ = ["Prior", "Refined", "Setting", "refine"]
