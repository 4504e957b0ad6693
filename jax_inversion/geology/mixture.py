"""Sets of models of several presets, in shares: ``"marine:3 folded:1"`` is three parts of one, one of the other."""

from functools import cache

import numpy as np

from ..errors import UserError
from .presets import PRESETS


@cache
def shares(mixture: str) -> dict[str, float]:
    """Preset to its share, of sum one. ``UserError`` for a preset that is unknown and a weight that is none."""
    weights: dict[str, float] = {}
    for part in mixture.replace(",", " ").split():
        preset, colon, weight = part.partition(":")
        if preset not in PRESETS:
            raise UserError(f"geology {preset!r} is unknown; there are {', '.join(PRESETS)}")
        try:
            weights[preset] = float(weight) if colon else 1.0
        except ValueError:
            weights[preset] = 0.0
        if not 0 < weights[preset] < float("inf"):
            raise UserError(f"geology {part!r}: right is a preset, or a preset and its weight, such as {preset}:2")
    if not weights:
        raise UserError(f"geology {mixture!r} names no preset; there are {', '.join(PRESETS)}")
    total = sum(weights.values())
    return {preset: weight / total for preset, weight in weights.items()}


def preset_of(mixture: str, seed: int, k: int) -> str:
    """The preset of sample ``k`` of a set: drawn from its seed and number alone."""
    presets = shares(mixture)
    return str(np.random.default_rng((seed, k)).choice(list(presets), p=list(presets.values())))
