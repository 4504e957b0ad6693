"""Baselines without a network, in closed form and NumPy: the median profile, linear regression, kernel regression.

What is fitted is a flat mapping of names to arrays, as checkpoints keep it: ``fit`` makes it, ``predict`` uses it.
"""

from .baselines import TITLES, Fit, fit, fitted, predict
from .features import features
from .settings import BaseConfig, BaseName

__all__ = ["TITLES", "BaseConfig", "BaseName", "Fit", "features", "fit", "fitted", "predict"]
