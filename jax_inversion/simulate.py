"""``python -m jax_inversion.simulate``: samples with random, blended or given velocity models."""

import argparse
import contextlib
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from . import config
from .cli import front_door
from .data.folders import MODEL_FILE
from .errors import UserError
from .geology import PRESETS
from .progress import Progress
from .simulation import Job, core_count, ids_of, is_whole, run
from .survey import CHALLENGE, Survey


def simulate(
    out: Path | str,
    count: int | None,
    *,
    start: int = 0,
    seed: int = 0,
    geology: str = "marine",
    workers: int = 0,
    survey: Survey = CHALLENGE,
    blend: Path | str | None = None,
    source: Path | str | None = None,
    truth: bool | Path | str = True,
    spacing_m: float = 5.0,
) -> list[str]:
    """Make samples ``start`` to ``start + count`` (exclusive) in ``out`` and return their ids.

    Samples that are there already are left alone; sample k depends on ``seed``, k and ``geology`` only, so that shards
    of one set can be made side by side, and an interrupted run goes on where it was; no two may make the same sample at
    a time. Models are random ones of the preset ``geology``, weighted and mirrored blends of the models of the samples
    in ``blend``, or just those in ``source``, whose ids stay (``count=None``: all of them). ``truth``: True writes the
    models into the samples' folders, False nowhere, a path to ``truth/<id>/``. ``workers``: processes, 0: one a core.
    ``spacing_m``: the simulator's cells.

    Raises:
        UserError: something given is wrong.
        RunError: a sample failed, a worker died or the disk is full; what is there is whole.
    """
    job = Job(
        out=Path(out),
        survey=survey,
        seed=seed,
        geology=geology,
        blend=Path(blend) if blend is not None else None,
        source=Path(source) if source is not None else None,
        truth=truth if isinstance(truth, bool) else Path(truth),
        spacing_m=spacing_m,
    )
    ks = _checked(job, start, count, workers)
    ids = ids_of(job, ks)
    job.out.mkdir(parents=True, exist_ok=True)
    missing = [k for k, sample_id in zip(ks, ids, strict=True) if not is_whole(job, sample_id)]
    if len(missing) < len(ids):
        print(f"{out}: {len(ids) - len(missing)} of {len(ids)} samples are there already")
    _clear_leftovers(job, ids)
    workers = min(workers or core_count(), max(len(missing), 1))
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
    given = {"start": start, "seed": job.seed, "workers": workers} | ({} if count is None else {"count": count})
    for name, value in given.items():
        if value < 0:
            raise UserError(f"--{name} is {value}; it cannot be negative")
    if job.geology not in PRESETS:
        raise UserError(f"--geology {job.geology!r} is unknown; there are {', '.join(PRESETS)}")
    if not job.spacing_m > 0:
        raise UserError(f"--spacing is {job.spacing_m} m; it must be positive")
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


def _clear_leftovers(job: Job, ids: Sequence[str]) -> None:
    """Remove what killed writers left of these samples; others may be in the hands of another shard."""
    ours = set(ids)
    for folder in {job.out, *([job.truth] if isinstance(job.truth, Path) else [])}:
        for partial in folder.glob(".*.partial"):
            if partial.name[1:].rsplit(".", 2)[0] in ours:
                shutil.rmtree(partial, ignore_errors=True)


@front_door
def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m jax_inversion.simulate",
        description="Simulate shot gathers of random velocity models, written in the challenge's layout. "
        "The same command again goes on where it was; shards (--start, --count) may run side by side.",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder that the samples go to")
    parser.add_argument("--count", type=int, metavar="N", help="how many samples (with --from: all unless given)")
    parser.add_argument("--start", type=int, default=0, metavar="K", help="number of the first one (default 0)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="another seed, another set (default 0)")
    parser.add_argument("--geology", default="marine", metavar="PRESET", help=f"{', '.join(PRESETS)} (default marine)")
    parser.add_argument("--workers", type=int, default=0, metavar="W", help="processes (default 0: one a core)")
    parser.add_argument("--blend", type=Path, metavar="DIR", help="new models: blends of those of the samples in DIR")
    parser.add_argument("--from", type=Path, dest="source", metavar="DIR", help="simulate the models in DIR, ids kept")
    truth = parser.add_mutually_exclusive_group()
    truth.add_argument("--truth", type=Path, metavar="DIR", help="write the models there, apart from the gathers")
    truth.add_argument("--no-truth", action="store_true", help="write no models")
    parser.add_argument("--spacing", type=float, default=5.0, metavar="M", help="cells of the simulator (default 5 m)")
    parser.add_argument("--survey", type=Path, metavar="CONFIG.toml", help="config of another survey")
    options = parser.parse_args(argv)
    ids = simulate(
        options.out,
        options.count,
        start=options.start,
        seed=options.seed,
        geology=options.geology,
        workers=options.workers,
        survey=config.load(options.survey).survey if options.survey else CHALLENGE,
        blend=options.blend,
        source=options.source,
        truth=options.truth or not options.no_truth,
        spacing_m=options.spacing,
    )
    print(f"{options.out}: {len(ids)} samples")


if __name__ == "__main__":
    raise SystemExit(main())
