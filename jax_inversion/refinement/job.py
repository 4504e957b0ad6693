"""The samples of a test set refined side by side, each kept when it is done, so that an interrupted set goes on."""

import contextlib
import json
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..data.folders import Sample, read_gathers
from ..data.preprocess import decimate
from ..files import digest, digest_json, read_journal, write_aside
from ..inference.submission import read_submission, spread_path
from ..npy import open_mapped
from ..progress import Progress, cores
from ..resampling import resize
from ..simulation.job import filled
from ..simulation.workers import run
from ..survey import Survey
from . import prior
from .inversion import Refined, Setting, refine_together
from .prior import Prior

JOURNAL, MADE_FROM = "rows.jsonl", "made_from"


@dataclass(frozen=True)
class Refining(ABC):
    """What the samples of a set have in common: ``prior`` and ``background`` are where these are kept, ``place`` the
    folder of the results. What ``given`` knows of sample ``k`` is refined.
    """

    place: Path
    prior: Path
    background: Path
    setting: Setting
    samples: tuple[Any, ...]

    @abstractmethod
    def id_of(self, k: int) -> str:
        """The name of sample ``k``."""

    @abstractmethod
    def given(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The prediction (x, depth) km/s and the decimated gathers of sample ``k``."""

    def result(self, k: int) -> Path:
        """Where sample ``k``'s model and its standard deviation lie, (2, x, depth)."""
        return self.place / f"{k:06d}.npy"

    def make(self, k: int) -> dict[str, Any]:
        """Refine sample ``k``; what a report tells of it."""
        return self.together([k], 1)[0]

    def together(self, ks: Sequence[int], size: int) -> list[dict[str, Any]]:
        """``make`` for several samples, refined as a batch of ``size``."""
        begun = time.monotonic()
        starts, gathers = (filled(np.stack(each), size) for each in zip(*map(self.given, ks), strict=True))
        found = refine_together(starts, gathers, self._background, self.belief, self.setting)[: len(ks)]
        seconds = round((time.monotonic() - begun) / len(ks), 1)
        return [self._keep(k, refined, seconds) for k, refined in zip(ks, found, strict=True)]

    def _keep(self, k: int, found: Refined, seconds: float) -> dict[str, Any]:
        with write_aside(self.result(k)) as aside, aside.open("wb") as file:
            np.save(file, np.stack([found.velocity_km_s, found.deviation_km_s]).astype(np.float32), allow_pickle=False)
        said = {"id": self.id_of(k), "seconds": seconds, **found.said}
        return said | {"row": k, "sha256": digest(self.result(k))}

    @cached_property
    def _background(self) -> np.ndarray:
        return np.asarray(open_mapped(self.background))

    @cached_property
    def belief(self) -> Prior:
        """The prior."""
        return prior.read(self.prior)


@dataclass(frozen=True)
class RefineJob(Refining):
    """Samples in folders. ``start`` is the submission that is refined; ``recorded`` is the survey of the gathers as
    they lie in ``samples``.
    """

    samples: tuple[Path, ...]
    start: Path
    recorded: Survey

    def id_of(self, k: int) -> str:
        return self.samples[k].name

    def given(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        # the wave equation is to explain the data as they are: no cut of the preset's, which only the networks see
        raw = read_gathers(Sample(self.id_of(k), self.samples[k]), self.recorded)
        with read_submission(self.start) as submission:
            start = submission.read(self.id_of(k), self.recorded.model_shape)
        return start, decimate(raw, self.recorded.dt_s, self.setting.survey.dt_s)


@dataclass(frozen=True)
class StoredJob(Refining):
    """Samples of a run's packed store, by id: ``starts`` (sample, x, depth) and ``gathers`` lie as .npy files."""

    samples: tuple[str, ...]
    starts: Path
    gathers: Path

    def id_of(self, k: int) -> str:
        return self.samples[k]

    def given(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        start = np.asarray(resize(open_mapped(self.starts)[k], self.setting.survey.model_shape))
        return start, np.asarray(open_mapped(self.gathers)[k], np.float32)


def refined_samples(
    job: Refining, made_from: dict[str, Any], workers: int, budget_s: float = np.inf
) -> dict[int, dict[str, Any]]:
    """Refine the samples that ``job.place`` lacks, until ``budget_s`` seconds are over; what is told of those done.

    Raises ``UserError`` and ``RunError`` with the id of the sample that failed; those that are done are kept.
    """
    rows = _begin(job, made_from)
    missing = [k for k in range(len(job.samples)) if k not in rows]
    end = time.monotonic() + budget_s
    workers = min(workers or cores(), max(len(missing), 1))
    with (
        (job.place / JOURNAL).open("a") as journal,
        Progress(len(job.samples), "refining", initial=len(rows)) as progress,
        contextlib.closing(run(job, missing, workers)) as refining,
    ):
        for k, said in refining:
            rows[k] = said
            journal.write(json.dumps(said) + "\n")
            journal.flush()
            progress.update(misfit=said["misfit"]["end"])
            if time.monotonic() > end:
                break
    return rows


def models(job: RefineJob, rows: dict[int, dict[str, Any]]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(id, model, its standard deviation) of every sample; of those not done the prediction and the members' spread."""
    with read_submission(job.start) as submission, read_submission(spread_path(job.start)) as spreads:
        for k in range(len(job.samples)):
            if k in rows:
                model, deviation = open_mapped(job.result(k))
                yield job.id_of(k), model, deviation
            else:
                name, shape = job.id_of(k), job.recorded.model_shape
                yield name, submission.read(name, shape), spreads.read(name, shape)


def _begin(job: Refining, made_from: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """What an interrupted refining of the very same samples left whole."""
    mark = job.place / MADE_FROM
    with contextlib.suppress(OSError):
        if mark.read_text() == digest_json(made_from):
            return {row["row"]: row for row in read_journal(job.place / JOURNAL) if _whole(job, row)}
    shutil.rmtree(job.place, ignore_errors=True)
    job.place.mkdir(parents=True)
    mark.write_text(digest_json(made_from))
    return {}


def _whole(job: Refining, row: dict[str, Any]) -> bool:
    path = job.result(row["row"])
    return path.is_file() and digest(path) == row["sha256"]
