"""Where the linear baseline joins training: predictions for every sample of the store, on its own coarse grid."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..config import Config
from ..data.store import Store


@dataclass(frozen=True)
class Base:
    """A fitted baseline.

    ``grids`` (sample, gx, gz) float32 km/s has a row for each sample of the store: out-of-fold predictions for training
    samples, plain ones for validation samples. ``arrays`` is what prediction needs, kept in every checkpoint.
    ``validation_mape`` is its score, a fraction. ``corrects`` says whether the networks learn the correction to it.
    """

    grids: np.ndarray
    arrays: Mapping[str, np.ndarray]
    validation_mape: float
    corrects: bool


def fit_base(config: Config, store: Store, train: np.ndarray, validation: np.ndarray, run: Path) -> Base | None:
    """The baseline of a run, None where there is none. ``train`` and ``validation`` are rows of the store."""
    return None
