"""Saving beside training: the state is copied, and written by a thread while the device goes on.

Not Orbax's own asynchronous writer, for that renames a checkpoint into place before its checksums are in it.
"""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..errors import RunError
from ..files import fault_of, need_space
from . import checkpoints
from .catalogue import FOLDER, look, step_of, tidy
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
        self.run, self.base, self.written = run, base, written
        self.redone = [fault.path for fault in look(run).damaged if (step_of(fault.path) or 0) > since]
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
            arrays = [*jax.tree.leaves(values), *(self.base or {}).values()]
            need_space(self.run / FOLDER, sum(np.asarray(array).nbytes for array in arrays))
            path = checkpoints.write(self.run, values, logits, meta, position, self.base)
        except Exception as error:  # of the disk, of Orbax or of TensorStore
            log.debug("saving failed", exc_info=True)
            reason = fault_of(error) or (str(error).splitlines() or [type(error).__name__])[0]
            raise RunError(f"{self.run}: the checkpoint of step {meta.step} could not be written: {reason}") from error
        log.info("saved %s: %s", path.name, ", ".join((*meta.names, "latest")))
        tidy(self.run, path, self.redone)
        if self.written is not None:
            self.written()
