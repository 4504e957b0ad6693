"""Figures of the steps, read back from the device late and together, and the check that they are finite."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..errors import RunError

LATE = 2  # steps that the device works on or has before it


class Diverged(RunError):  # noqa: N818
    """The loss or its gradient is no longer finite."""


class Watch:
    """Collects what steps return and fetches it every ``steps`` of them, or every ``seconds`` where they are slow, but
    for the last ``LATE``, which the device may be at still: so the host does not wait for it. A fault is found a few
    steps late, but always before ``flush`` returns: call it before saving a state. ``name_of(row)`` is a sample's id;
    ``kept()`` names the checkpoints.
    """

    def __init__(
        self,
        run: Path,
        name_of: Callable[[int], str],
        kept: Callable[[], list[str]],
        steps: int = 10,
        seconds: float = 1.0,
    ):
        self.run, self.name_of, self.kept, self.steps, self.seconds = run, name_of, kept, steps, seconds
        self.pending: list[tuple[int, np.ndarray, Any]] = []
        self.begun = 0.0  # of the oldest pending step
        self.seen: list[tuple[float, float]] = []  # loss and MAPE of steps, means over members

    def add(self, step: int, index: np.ndarray, metrics: Mapping[str, jax.Array], begun: float) -> dict[str, float]:
        """Note the metrics of batch number ``step``, of samples ``index`` (member, batch), that began at
        ``time.monotonic() == begun``. Returns figures if it is time, otherwise nothing.
        """
        self.begun = self.begun if self.pending else begun
        self.pending.append((step, index, metrics))
        due = len(self.pending) >= self.steps + LATE or time.monotonic() - self.begun >= self.seconds
        return self._fetch(len(self.pending) - LATE) if due else {}

    def flush(self) -> dict[str, float]:
        """All there is, as ``add`` returns it."""
        return self._fetch(len(self.pending))

    def _fetch(self, count: int) -> dict[str, float]:
        """Means since the last time, over steps and members (``train/loss``) and over steps (``train/loss/0``, ...)."""
        if count <= 0:
            return {}
        due, self.pending = self.pending[:count], self.pending[count:]
        fetched = jax.device_get([metrics for _, _, metrics in due])
        for (step, index, _), metrics in zip(due, fetched, strict=True):
            if not metrics["finite"].all():
                raise Diverged(self._fault(step, index, metrics))
        now, samples = time.monotonic(), sum(index.shape[1] for _, index, _ in due)
        figures = {"samples_per_s": samples / max(now - self.begun, 1e-9)}
        self.begun = now  # of those left
        for name in fetched[0].keys() - {"finite"}:
            members = np.mean([metrics[name] for metrics in fetched], axis=0)
            having = {k: float(value) for k, value in enumerate(members) if not np.isnan(value)}  # a group may lack it
            if having:
                figures[f"train/{name}"] = float(np.mean(list(having.values())))
            figures |= {f"train/{name}/{k}": value for k, value in having.items()}
        self.seen += [(float(m["loss"].mean()), float(m["mape"].mean())) for m in fetched]
        return dict(sorted(figures.items()))

    def epoch(self) -> tuple[float, float]:
        """Mean loss and MAPE of all steps that were fetched since the last time."""
        seen, self.seen = self.seen, []
        loss, mape = np.mean(seen, axis=0) if seen else (np.nan, np.nan)
        return float(loss), float(mape)

    def _fault(self, step: int, index: np.ndarray, metrics: Mapping[str, np.ndarray]) -> str:
        bad = np.flatnonzero(~metrics["finite"])
        samples = "; ".join(f"member {m}: {', '.join(self.name_of(int(row)) for row in index[m])}" for m in bad)
        good = "latest" in self.kept()
        kept_text = f"the last good checkpoint is {self.run}/latest" if good else "there is no checkpoint yet"
        return (
            f"{self.run}: step {step}: the loss is {metrics['loss'][bad[0]]} and the gradient's norm "
            f"{metrics['grad_norm'][bad[0]]} (samples of {samples}); {kept_text}; look at these samples, "
            "or go on with a lower --train.learning-rate or --train.clip-norm"
        )
