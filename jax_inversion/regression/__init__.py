"""Baselines without a network, in closed form and NumPy: linear regression and kernel regression."""

from .settings import BaseConfig

__all__ = ["BaseConfig"]
