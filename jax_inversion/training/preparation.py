"""Before the first step: the samples of a run, packed now or by another run."""

import logging
import os
import shutil
from pathlib import Path

from ..config import Config
from ..data.folders import find_samples
from ..data.rows import open_whole
from ..data.store import Store, pack
from ..errors import UserError
from ..files import recover, write_aside
from ..runs import Run
from ..survey import Survey
from .resume import check_run
from .samples import coarse_shape

SKIP_BAD = "--data.skip-bad true"

log = logging.getLogger(__name__)


def pack_store(config: Config, data: Path, run: Run, hint: str = SKIP_BAD) -> Store:
    """The packed training samples of a run; packed now where they are not yet.

    ``hint``: what the user would write where this was called from to have bad samples left out. ``UserError``, before
    anything is written, if the run was begun with other settings or samples, or another process works in it.
    """
    found = find_samples(data, "train", config.survey)
    alone = config.data.source == "folders"  # else simulated samples join them, and the run knows the ids of both
    with run.lock():
        check_run(run.path, config, [sample.id for sample in found] if alone else None)
        skip_bad = config.data.skip_bad
        store = pack(found, config.survey, run.store, config.preprocess, skip_bad=skip_bad, hint=hint)
        if alone:
            check_run(run.path, config, store.ids, store)
        return store


def share_store(config: Config, data: Path, run: Run) -> Store:
    """The samples that another run packed or simulated, as this run's own: ``data`` is that run, or its store.

    Files are linked, so that their bytes are there once, and stay when the other run goes; copied to another disk.
    ``UserError`` if there is no store, or one of another survey or preprocessing, or coarser than networks train on.
    """
    there = Run(data).store if Run(data).store.is_dir() else data
    survey = config.survey.with_interval(config.preprocess.dt_s)
    try:
        store = open_whole(there, survey)
        _check_fits(store, config, there)
    except (OSError, ValueError, KeyError) as error:  # none there, damaged, or gathers only
        raise UserError(f"{there}: not a packed store ({error}); right is a run, or its store/train") from None
    with run.lock():
        check_run(run.path, config, store.ids, store)
        recover(run.store)
        if not _holds(run.store, store):
            with write_aside(run.store) as aside:
                shutil.copytree(there, aside, copy_function=_link)
        log.info("%s: %d samples of %s", run.store, len(store), there)
        return store


def _check_fits(store: Store, config: Config, there: Path) -> None:
    """``UserError`` unless the store is of this survey, interval and filter, and fine enough."""
    made = store.made_from
    if "simulated" in made:  # at the interval at once, so that nothing was filtered
        kept, right = made["simulated"]["survey"], store.survey
    else:
        kept, right = made["survey"], config.survey
        for name, value in made["preprocess"].items():
            if value != (own := getattr(config.preprocess, name)):
                raise UserError(f"{there}: packed with preprocess.{name} {value:g}, this run's is {own:g}")
    if other := right.differences(Survey.from_dict(kept, str(there))):
        raise UserError(f"{there}: its samples are of another survey; what differs is {', '.join(other)}")
    shape, least = store.models.shape[1:], coarse_shape(config.survey, config.train.spacing_m)
    if shape[0] < least[0] or shape[1] < least[1]:
        raise UserError(
            f"{there}: its models have {shape[0]} x {shape[1]} cells, the loss needs {least[0]} x {least[1]}; "
            "right is a larger train.spacing_m"
        )


def _holds(folder: Path, store: Store) -> bool:
    """Whether the samples of ``store`` lie in ``folder`` already, whole."""
    try:
        return open_whole(folder, store.survey).fingerprint == store.fingerprint
    except (OSError, ValueError, KeyError):
        return False


def _link(source: str, to: str) -> str:
    try:
        os.link(source, to)
    except OSError:  # another disk, or one that knows no links
        shutil.copy2(source, to)
    return to
