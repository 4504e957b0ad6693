"""The wave equation: gathers from a velocity model."""

from .background import background, background_fingerprint, background_spectra, background_updates, gathers_of
from .linearize import linearize
from .settings import SimulatorConfig
from .simulate import simulate

__all__ = [
    "SimulatorConfig",
    "background",
    "background_fingerprint",
    "background_spectra",
    "background_updates",
    "gathers_of",
    "linearize",
    "simulate",
]
