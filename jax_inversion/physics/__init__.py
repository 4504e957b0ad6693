"""The wave equation: gathers from a velocity model."""

from .settings import SimulatorConfig
from .simulate import simulate

__all__ = ["SimulatorConfig", "simulate"]
