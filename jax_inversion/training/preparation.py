"""Before the first step: the samples of a run, packed, and the base that its networks correct."""

from pathlib import Path

from ..config import Config
from ..data.folders import find_samples
from ..data.store import Store, pack
from ..runs import Run
from .resume import check_run

SKIP_BAD = "--data.skip-bad true"


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
