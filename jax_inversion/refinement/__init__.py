"""Waveform inversion that starts at a prediction: what a correction looks like, how it is found, what judges it."""

from .inversion import Refined, Setting, refine, refine_together
from .prior import Prior

__all__ = ["Prior", "Refined", "Setting", "refine", "refine_together"]
