"""A set of samples: what is asked for is checked, what is there is left alone, the rest is made."""

import contextlib
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from .. import backgrounds
from ..data.folders import MODEL_FILE, gather_files
from ..errors import UserError
from ..geology import shares
from ..progress import Progress, cores
from . import record
from .job import Job
from .workers import run

log = logging.getLogger(__name__)


def make_set(job: Job, count: int | None, start: int = 0, workers: int = 0) -> list[str]:
    """Make samples ``start`` to ``start + count`` (exclusive) of ``job`` and return their ids.

    Samples that are there already are left alone; sample k depends on the job and k only, so that shards of one set can
    be made side by side, and an interrupted run goes on where it was; no two may make the same sample at a time.
    ``count=None`` with ``job.source``: all of its models. ``workers``: processes, 0: one a core.

    Raises:
        UserError: something given is wrong, or the folder's samples were made with something else.
        RunError: a sample failed, a worker died or the disk is full; what is there is whole.
    """
    ks = _checked(job, start, count, workers)
    ids = [job.id_of(k) for k in ks]
    _refuse_twins(job, ids)
    record.claim(job, ids)
    missing = [k for k in ks if not job.has(k)]
    if len(missing) < len(ids):
        log.info(f"{job.out}: {len(ids) - len(missing)} of {len(ids)} samples are there already")
    _clear_leftovers(job, ids)
    if missing:  # once, and not by each of the workers
        backgrounds.background(job.survey, job.simulator)
    workers = min(workers or cores(), max(len(missing), 1))
    try:
        progress = Progress(len(ids), "simulating", initial=len(ids) - len(missing))
        with progress, contextlib.closing(run(job, missing, workers)) as making:
            for done, _ in enumerate(making, 1):
                if done == workers:
                    compiled = time.monotonic()
                rate = 3600 * (done - workers) / (time.monotonic() - compiled) if done > workers else None
                progress.update(**({"samples/h": round(rate)} if rate else {}))
    finally:
        _clear_leftovers(job, ids)
    return ids


def _checked(job: Job, start: int, count: int | None, workers: int) -> range:
    """The numbers of the samples to make, or a ``UserError`` about what was asked for."""
    for name, value in {"start": start, "seed": job.seed, "workers": workers}.items():
        if value < 0:
            raise UserError(f"--{name} is {value}; it cannot be negative")
    if count is not None and count < 1:
        raise UserError(f"--count is {count}; right is 1 or more")
    shares(job.geology)
    if job.blend is not None and job.source is not None:
        raise UserError("give --blend or --from, not both")
    for folder in (job.out, job.truth):
        if isinstance(folder, Path) and folder.exists() and not folder.is_dir():
            raise UserError(f"{folder}: is a file; right is a folder, new or old")
    if job.blend or job.source:
        _check_models(job)
    if job.source is not None:
        return range(len(job.models))[start : None if count is None else start + count]
    if count is None:
        raise UserError("how many samples? give --count N")
    return range(start, start + count)


def _check_models(job: Job) -> None:
    if not job.models:
        raise UserError(f"{job.blend or job.source}: no {MODEL_FILE} in its samples")
    if job.out.resolve() in {sample.path.resolve().parent for sample in job.models}:
        raise UserError(f"--out {job.out} is where the models come from; give another folder")


def _refuse_twins(job: Job, ids: Sequence[str]) -> None:
    """The same sample must not be in train/ and in test/: scores of a test set that was trained on mean nothing."""
    twins = {"train": "test", "test": "train"}
    if job.out.name not in twins:
        return
    other = job.out.with_name(twins[job.out.name])
    name = gather_files(job.survey)[0]
    if twin := next((sample_id for sample_id in ids if (other / sample_id / name).exists()), None):
        raise UserError(f"{other} has {twin} already, and one sample cannot train and test; give another --seed")


def _clear_leftovers(job: Job, ids: Sequence[str]) -> None:
    """Remove what killed writers left of these samples; others may be in the hands of another shard."""
    ours = set(ids)
    for folder in {job.out, *([job.truth] if isinstance(job.truth, Path) else [])}:
        for partial in folder.glob(".*.partial"):
            if partial.name[1:].rsplit(".", 2)[0] in ours:
                shutil.rmtree(partial, ignore_errors=True)
