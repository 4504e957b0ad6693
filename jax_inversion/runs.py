"""A run's folder: the only place that knows the names in it, who may write to it, and what its products were made from.

A product is reused when the fingerprint of what it was made from agrees and its files are what they were when it was
noted, never because something of its name lies there. ``provenance.json`` is a cache key and a record for people.
"""

import contextlib
import datetime
import errno
import fcntl
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TextIO

from .errors import UserError
from .files import digest, digest_json, read_journal, write_aside

_LOCKLESS = (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK)  # as network volumes may answer
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """Names and places of a run, its lock and its provenance. Making one touches nothing."""

    path: Path
    _locks: ClassVar[dict[Path, tuple[TextIO, int]]] = {}  # of this process, with how many blocks hold each
    _guard: ClassVar[threading.Lock] = threading.Lock()

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def data(self) -> Path:
        """Samples that the pipeline simulated for the run: train/, test/ and truth/."""
        return self.path / "data"

    @property
    def store(self) -> Path:
        """The packed training samples."""
        return self.path / "store" / "train"

    @property
    def simulated(self) -> Path:
        """The packed simulated samples, where there are others beside them."""
        return self.path / "store" / "simulated"

    def fresh(self, number: int) -> Path:
        """The packed samples that are trained on after ``number`` others, where they are exchanged."""
        return self.path / "store" / f"fresh_{number}"

    @property
    def base(self) -> Path:
        """The fitted baselines."""
        return self.path / "store" / "base.npz"

    def base_gathers(self, name: str, number: int = 0) -> Path:
        """The packed gathers that a baseline's models would make of the training samples, or of those of ``fresh``."""
        return (self.fresh(number) if number else self.path / "store") / f"base_{name}"

    @property
    def scores(self) -> Path:
        return self.path / "scores.json"

    @property
    def sittings(self) -> Path:
        """When the pipeline worked on the run, and for how long: a line of JSON each time."""
        return self.path / "sittings.jsonl"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def read_sittings(self) -> list[tuple[str, float]]:
        """When each began, and its minutes; what is damaged is passed over."""
        try:
            lines = [line for line in read_journal(self.sittings) if isinstance(line, dict)]
        except (OSError, ValueError):
            return []
        pairs = [(line.get("began"), line.get("minutes")) for line in lines]
        return [(str(began), float(minutes)) for began, minutes in pairs if isinstance(minutes, int | float)]

    @property
    def figures(self) -> Path:
        return self.path / "figures"

    @property
    def data_figures(self) -> Path:
        return self.figures / "data"

    @property
    def pieces(self) -> Path:
        """Parts of a submission that machines predict side by side."""
        return self.path / "parts"

    def prior(self, checkpoint: str) -> Path:
        """Where what refinement learnt from a checkpoint's errors is kept."""
        return self.path / "refinement" / f"prior_{checkpoint}.npz"

    @property
    def provenance(self) -> Path:
        return self.path / "provenance.json"

    def submission(self, checkpoint: str) -> Path:
        """Where the submission of a checkpoint goes, by the checkpoint's label: no two labels share a file."""
        return self.path / f"submission_{checkpoint}.npz"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only process that writes in this run; within one process blocks may nest.

        ``UserError`` names the process that has it. The lock ends with its process, however that ends.
        """
        key = self.path.resolve()
        with self._guard:
            handle, blocks = self._locks.get(key) or (self._take(), 0)
            self._locks[key] = handle, blocks + 1
        try:
            yield
        finally:
            with self._guard:
                handle, blocks = self._locks.pop(key)
                if blocks > 1:
                    self._locks[key] = handle, blocks - 1
                else:
                    handle.close()

    def _take(self) -> TextIO:
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path}: is a file; right is the folder of a run, new or old")
        self.path.mkdir(parents=True, exist_ok=True)
        handle = (self.path / ".lock").open("a+")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _LOCKLESS:
                log.warning("%s: the file system has no locks; see to it that nobody else works in this run", self.path)
                return handle
            if not isinstance(error, BlockingIOError):
                raise
            handle.seek(0)
            owner = handle.read().strip() or "another process"
            handle.close()
            raise UserError(f"{self.path}: {owner} works in this run; wait for it, or give another --run") from None
        handle.truncate(0)
        handle.write(f"process {os.getpid()} ({' '.join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200]})")
        handle.flush()
        return handle

    @contextlib.contextmanager
    def sitting(self) -> Iterator[None]:
        """Note when this block began (UTC) and how many minutes it took, however it ends but by a kill."""
        began, clock = datetime.datetime.now(datetime.UTC), time.monotonic()
        try:
            yield
        finally:
            line = {"began": began.isoformat(timespec="seconds"), "minutes": round((time.monotonic() - clock) / 60, 2)}
            with contextlib.suppress(OSError), self.sittings.open("a") as file:  # a full disk has its own words
                file.write(json.dumps(line) + "\n")

    def has(self, product: str, made_from: Mapping[str, Any]) -> bool:
        """Whether ``product`` was made from just this, and all its files are there as they were noted."""
        noted = self._noted().get(product)
        if not isinstance(noted, dict) or noted.get("fingerprint") != digest_json(made_from):
            return False
        files = noted.get("files", {})
        return all((self.path / name).is_file() and digest(self.path / name) == was for name, was in files.items())

    def note(self, product: str, made_from: Mapping[str, Any], files: Sequence[Path]) -> None:
        """Record that ``product``, these files below the run's folder, is complete and what it was made from."""
        digests = {str(path.relative_to(self.path)): digest(path) for path in files}
        entry = {"fingerprint": digest_json(made_from), "made_from": made_from, "files": digests}
        self._write(self._noted() | {product: entry})

    def changed(self, product: str, made_from: Mapping[str, Any]) -> list[str]:
        """Names of what differs between what ``product`` was made from and this; empty where it was never noted."""
        noted = self._noted().get(product)
        before = noted.get("made_from", {}) if isinstance(noted, dict) else None
        if before is None:
            return []
        return sorted(name for name in {*before, *made_from} if before.get(name) != made_from.get(name))

    def _noted(self) -> dict[str, Any]:
        try:
            noted = json.loads(self.provenance.read_text())
        except (OSError, ValueError):
            return {}  # nothing is known, so everything is made anew
        return noted if isinstance(noted, dict) else {}

    def _write(self, noted: Mapping[str, Any]) -> None:
        with write_aside(self.provenance) as aside:
            aside.write_text(json.dumps(noted, indent=1, sort_keys=True) + "\n")
