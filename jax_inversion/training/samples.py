"""The samples of a run: a packed store and which of its rows train and which validate."""

import hashlib
import sys
from dataclasses import dataclass

import numpy as np

from ..data.split import is_validation
from ..data.store import Store
from ..errors import UserError

STAND_IN = 256  # training samples at most that are scored where none validates


@dataclass(frozen=True, eq=False)
class Samples:
    """``train`` and ``validation`` are rows of ``store``."""

    store: Store
    train: np.ndarray
    validation: np.ndarray

    @property
    def fingerprint(self) -> str:
        """A short text that is the same for the same ids on the same sides and the same amplitudes only."""
        sides = ["\n".join(self.store.ids[row] for row in rows) for rows in (self.train, self.validation)]
        return hashlib.sha256(repr((sides, self.store.std)).encode()).hexdigest()[:16]


def split(store: Store, fraction: float, seed: int) -> Samples:
    """Sides by the samples' ids. Where none validates, training samples are scored instead, and a line says so."""
    chosen = np.array([is_validation(name, fraction, seed) for name in store.ids])
    train, validation = np.flatnonzero(~chosen), np.flatnonzero(chosen)
    if not len(train):
        raise UserError(
            f"all {len(store)} samples validate, none is left to train: give more, or another data.split_seed"
        )
    if not len(validation):
        validation = train[:STAND_IN]
        print(f"no sample validates: scores are those of {len(validation)} training samples", file=sys.stderr)
    return Samples(store, train, validation)
