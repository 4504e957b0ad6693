"""The wave equation: gathers from a velocity model."""

from .simulate import simulate

__all__ = ["simulate"]
