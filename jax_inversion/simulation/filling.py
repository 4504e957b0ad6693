"""A packed store filled by the simulator. An interrupted one goes on with the rows that its journal says are whole."""

import contextlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .. import backgrounds
from ..data.rows import Store, Sums, close, create, open_whole, scale
from ..files import need_space, read_journal
from ..physics.settings import SimulatorConfig
from ..progress import Progress, cores
from ..survey import Survey
from .stock import StockJob
from .workers import run

JOURNAL, MADE_FROM = "rows.jsonl", "made_from.json"

log = logging.getLogger(__name__)


def simulated_store(
    folder: Path,
    count: int,
    survey: Survey,
    shape: tuple[int, int],
    *,
    geology: str = "",
    seed: int = 0,
    simulator: SimulatorConfig,
    workers: int = 0,
    first: int = 0,
    given: Path | None = None,
    tell: Callable[[], None] | None = None,
) -> Store:
    """The store in ``folder`` of ``count`` samples, from ``first`` on, made now as far as it is not there.

    Their models are drawn from ``geology``, or the rows of the .npy file ``given``; then there are gathers only.
    ``survey`` has the store's interval, ``shape`` is that of its models (x, depth): the survey's or a coarser one.
    ``workers``: processes, 0: one a core. A store that is damaged, or of something else, is replaced. ``tell()`` is
    called after each sample, instead of a progress bar; what it raises ends the filling.

    Raises:
        UserError: something given is wrong.
        RunError: a sample failed, a worker died or the disk is full; what is there is kept.
    """
    filling = folder.with_name(f"{folder.name}.filling")
    job = StockJob(filling, survey, shape, seed, geology, simulator, first, given)
    made_from = {"simulated": job.made_from, "count": count} | ({"first": first} if first else {})
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        store = open_whole(folder, survey)
        if store.made_from == made_from:
            log.info("%s: reusing the store of %d simulated samples", folder, len(store))
            return store
        log.info("%s: made from something else; simulating anew", folder)
    rows, what = _begin(job, count, made_from), "simulating" if given is None else f"simulating {given.stem}"
    missing = [first + row for row in range(count) if row not in rows]
    if missing:  # once, and not by each of the workers
        backgrounds.background(survey, simulator)
    workers = min(workers or cores(), max(len(missing), 1))
    with (
        (filling / JOURNAL).open("a") as journal,
        contextlib.nullcontext() if tell else Progress(count, what, initial=len(rows)) as progress,
        contextlib.closing(run(job, missing, workers)) as making,
    ):
        for _, made in making:
            rows[made["row"]] = made
            journal.write(json.dumps(made) + "\n")
            journal.flush()
            if tell is not None:
                tell()
            if progress is not None:
                progress.update()
    ids = [job.id_of(first + row) for row in range(count)]
    sums = [Sums(rows[row]["total"], rows[row]["squares"]) for row in range(count)]
    close(filling, ids, scale(ids, sums, int(np.prod(survey.gathers_shape))), made_from)
    shutil.rmtree(folder, ignore_errors=True)
    filling.rename(folder)
    return open_whole(folder, survey)


def _begin(job: StockJob, count: int, made_from: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """The rows that an interrupted filling of the very same store left whole; room for all of them."""
    folder, shapes = job.place, {name: (count, *shape) for name, shape in job.shapes.items()}
    with contextlib.suppress(OSError, ValueError, KeyError):
        if json.loads((folder / MADE_FROM).read_text()) == made_from:
            return {made["row"]: made for made in read_journal(folder / JOURNAL) if job.crc(made["row"]) == made["crc"]}
    shutil.rmtree(folder, ignore_errors=True)
    need_space(folder, sum(4 * int(np.prod(shape)) for shape in shapes.values()))
    folder.mkdir(parents=True)
    create(folder, shapes)
    (folder / MADE_FROM).write_text(json.dumps(made_from))
    return {}
