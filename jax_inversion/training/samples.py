"""The samples of a run: a packed store and which of its rows train and which validate."""

import dataclasses
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.split import is_validation
from ..data.store import Store
from ..errors import UserError
from ..resampling import cell_means
from ..start import Start
from ..survey import Survey

BASE = "base/"  # before a base's name, in a batch
BASE_GATHERS = "base_gathers/"
STAND_IN = 256  # training samples at most that are scored where none validates

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Samples:
    """``train`` and ``validation`` are rows of ``store``."""

    store: Store
    train: np.ndarray
    validation: np.ndarray


def fingerprint(ids: Sequence[str]) -> str:
    """A short text that is the same for the same sample ids only, in any order."""
    return hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()[:16]


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
        log.warning(
            f"no validation samples, at data.validation_fraction {fraction:g} of {len(store)}: the scores are those of "
            f"{len(validation)} training samples and flatter"
        )
    return Samples(store, train, validation)


def bases_in(batch: Mapping[str, Any]) -> dict[str, Start]:
    """What networks correct in a batch, by the base's name: ``Start``s with gathers where the batch has them."""
    names = [key.removeprefix(BASE) for key in batch if key.startswith(BASE)]
    return {name: Start(batch[BASE + name], batch.get(BASE_GATHERS + name)) for name in names}


def coarse_shape(survey: Survey, spacing_m: float) -> tuple[int, int]:
    """Cells (x, depth) of about ``spacing_m`` that cover the section; the survey's own where these are no finer."""
    if spacing_m <= survey.spacing_m:
        return survey.model_shape
    nx, nz = (max(2, round(n * survey.spacing_m / spacing_m)) for n in survey.model_shape)
    return nx, nz


def on_loss_grid(store: Store, spacing_m: float) -> Store:
    """The store with its velocities averaged over coarser cells, where ``train.spacing_m`` asks for them.

    On 5 m cells a step is several times faster than on 1 m cells. Predictions are still made on the survey's own: the
    networks' last layer interpolates to any.
    """
    shape = coarse_shape(store.survey, spacing_m)
    if shape == store.models.shape[1:]:
        return store
    return dataclasses.replace(store, velocities=cell_means(store.models, shape))
