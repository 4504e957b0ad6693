"""Saving beside training: the state is copied, and written by a thread while the device goes on.

Not Orbax's own asynchronous writer, for that renames a checkpoint into place before its checksums are in it.
"""

import logging
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..errors import RunError
from . import checkpoints
from .catalogue import FOLDER, tidy
from .checkpoints import Meta
from .state import TrainState, to_dict

log = logging.getLogger(__name__)


class Saver:
    """Writes the checkpoints of a run that went on after the step ``since``, one at a time.

    ``written()`` is called in the thread, after each. ``RunError``, in one line, comes out of the next call of any
    method, and of leaving the ``with`` block, which waits for what is under way.
    """

    def __init__(
        self, run: Path, base: Mapping[str, np.ndarray] | None, since: int, written: Callable[[], None] | None
    ):
        self.run, self.base, self.since, self.written = run, base, since, written
        self.pool = ThreadPoolExecutor(1, "checkpoint")
        self.under_way: Future[None] | None = None

    def save(self, state: TrainState, meta: Meta, position: Mapping[str, Any], logits: jax.Array | None = None) -> None:
        """Wait for the checkpoint before, copy this one, and return while it is being written."""
        self.wait()
        values = to_dict(state)
        chosen = values["logits"] if logits is None else np.array(logits)
        self.under_way = self.pool.submit(self._write, values, chosen, meta, dict(position))

    def check(self) -> None:
        """Raise what went wrong, if anything did so far."""
        if self.under_way is not None and self.under_way.done():
            self.wait()

    def wait(self) -> None:
        """Until the checkpoint under way, if any, is on the disk."""
        under_way, self.under_way = self.under_way, None
        if under_way is not None:
            under_way.result()

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, kind: Any, *error: Any) -> None:
        try:
            self.wait()
        except RunError as fault:
            if kind is None:
                raise
            log.error("%s", fault)  # what ends the block is told too
        finally:
            self.pool.shutdown()

    def _write(self, values: dict[str, Any], logits: np.ndarray, meta: Meta, position: dict[str, Any]) -> None:
        try:
            path = checkpoints.write(self.run, values, logits, meta, position, self.base)
        except Exception as error:  # of the disk, of Orbax or of TensorStore
            log.debug("saving failed", exc_info=True)
            raise RunError(self._fault(meta.step, values, error)) from error
        log.info("saved %s: %s", path.name, ", ".join((*meta.names, "latest")))
        tidy(self.run, path, self.since)
        if self.written is not None:
            self.written()

    def _fault(self, step: int, values: dict[str, Any], error: Exception) -> str:
        arrays = [*jax.tree.leaves(values), *(self.base or {}).values()]
        needed = sum(np.asarray(array).nbytes for array in arrays) / 1e6
        free = shutil.disk_usage(self.run).free / 1e6
        text = str(error)
        full = "No space left" in text or "RESOURCE_EXHAUSTED" in text
        reason = "no space left on the disk" if full else (text.splitlines() or [type(error).__name__])[0]
        return (
            f"{self.run / FOLDER}: the checkpoint of step {step} could not be written: {reason} "
            f"(about {needed:.1f} MB needed, {free:.1f} MB free); checkpoints before it are as they were"
        )
