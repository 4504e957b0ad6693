"""Intervals of refined models: validation samples refined once, and their posterior deviations scaled by depth."""

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from .. import config as configs
from ..data.statistics import evenly
from ..errors import UserError
from ..files import DAMAGED_ZIP, digest_json, open_plain, save_array, write_aside
from ..inference import intervals
from ..inference.intervals import FEWEST, Table
from ..inference.predictor import Predictor
from ..inference.stored import Stored, predict_stored, stored_samples
from ..npy import open_mapped
from ..resampling import cell_means
from ..runs import Run
from . import job
from .inversion import LAYOUT
from .learn import learnt
from .submission import keep_background, setting_of

REFINED = "refined_intervals"  # in a model file
_MADE_FROM = "made_from"

log = logging.getLogger(__name__)


def table(predictor: Predictor) -> Table:
    """Factors by level and depth for the deviations of refined models: of the model file, kept in the run, or made now.

    Making them refines ``refine.calibration_samples`` validation samples, minutes; interrupted, the next call goes on.
    ``UserError`` where the run has no packed samples, or too few that training did not see.
    """
    brought = predictor.restored.extras.get(REFINED)
    if brought is not None:
        if brought[_MADE_FROM].tobytes().decode() != _settings(predictor):
            raise UserError(
                f"{predictor.restored.path}: its intervals are calibrated for other settings of [refine], or another "
                "version's refining; leave these as they are, or do without intervals"
            )
        return brought
    run, label = Run(predictor.restored.run), predictor.restored.label
    kept, made_from = run.prior(label).with_name(f"intervals_{label}.npz"), _made_from(predictor)
    if (found := _load(kept, made_from)) is not None:
        return found
    found = intervals.table(refined_validation(predictor, made_from))
    contents: dict[str, Any] = {**found, _MADE_FROM: np.frombuffer(made_from.encode(), np.uint8)}
    with write_aside(kept) as aside, aside.open("wb") as file:
        np.savez(file, **contents)
    return found


def portable(predictor: Predictor) -> Table:
    """What a model file brings: the table, and the settings that it is for."""
    return {**table(predictor), _MADE_FROM: np.frombuffer(_settings(predictor).encode(), np.uint8)}


def refined_validation(predictor: Predictor, made_from: str) -> Stored:
    """Truths, refined models and their standard deviations of validation samples, on the store's cells."""
    samples, config = stored_samples(predictor), predictor.config
    rows = samples.validation[evenly(len(samples.validation), config.refine.calibration_samples)]
    if len(rows) < FEWEST or np.isin(rows, samples.train).any():
        raise UserError(
            f"intervals are calibrated on validation samples, {FEWEST} or more; here are "
            f"{len(np.setdiff1d(rows, samples.train))}: raise refine.calibration_samples and data.validation_fraction"
        )
    learnt(predictor)
    run, label = Run(predictor.restored.run), predictor.restored.label
    place = run.prior(label).with_name(f"calibrating_{label}")
    stored = predict_stored(predictor, samples, rows, "predicting validation samples")
    inputs = place.with_name(f"{place.name}_inputs")
    inputs.mkdir(parents=True, exist_ok=True)
    starts, gathers = inputs / "starts.npy", inputs / "gathers.npy"
    save_array(starts, stored.models)
    save_array(gathers, samples.store.gathers[rows])
    setting = setting_of(config, samples.store.survey)
    work = job.StoredJob(
        place=place,
        prior=run.prior(label).resolve(),
        background=keep_background(predictor, setting),
        setting=setting,
        samples=tuple(samples.store.ids[row] for row in rows),
        starts=starts.resolve(),
        gathers=gathers.resolve(),
    )
    told = job.refined_samples(work, {"calibration": made_from}, config.refine.workers)
    shape = stored.truths.shape[1:]
    each = [cell_means(open_mapped(work.result(k)), (shape[0], shape[1])) for k in range(len(rows))]
    refined = Stored(stored.truths, *np.stack(each, axis=1))
    _say(stored, refined, told)
    for folder in (place, inputs):
        shutil.rmtree(folder, ignore_errors=True)
    return refined


def _say(stored: Stored, refined: Stored, told: dict[int, dict[str, Any]]) -> None:
    before, after = (100 * np.mean(np.abs(s.models / s.truths - 1), axis=(1, 2)) for s in (stored, refined))
    kept = sum(row["scale"] > 0 for row in told.values())
    log.info(
        f"{kept} of {len(told)} validation samples refined: MAPE {before.mean():.2f} to {after.mean():.2f} %, "
        f"the worst {(after / before).max():.2f} of its own"
    )


def _made_from(predictor: Predictor) -> str:
    store = stored_samples(predictor).store
    return digest_json([predictor.restored.fingerprint, _settings(predictor), store.fingerprint])


def _settings(predictor: Predictor) -> str:
    settings = configs.as_dict(predictor.config)["refine"]
    idle = "on", "workers", "intervals"
    return digest_json([LAYOUT, {name: value for name, value in settings.items() if name not in idle}])


def _load(path: Path, made_from: str) -> Table | None:
    try:
        with open_plain(path) as opened, np.load(opened, allow_pickle=False) as file:
            if file[_MADE_FROM].tobytes().decode() != made_from:
                return None
            return {"levels": file["levels"], "factors": file["factors"]}
    except (*DAMAGED_ZIP, OSError, KeyError):
        return None
