"""The training loop: steps, and at the end of an epoch validation and checkpoints."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from .. import config as configs
from ..config import Config
from ..data.loader import batches, steps_per_epoch
from ..errors import UserError
from ..progress import Progress
from . import checkpoints
from .assembly import assemble
from .base import Base
from .interrupt import asked_to_stop
from .resume import OTHER_SAMPLES, refuse_changes
from .samples import Samples, fingerprint, on_loss_grid
from .tracking import Tracker
from .validation import validate
from .watch import Watch

SAVE_EVERY_S = 600.0  # at most between checkpoints, where epochs are long

Draw = Callable[[np.ndarray, np.ndarray, str], bytes]


def fit(
    config: Config,
    samples: Samples,
    run: Path,
    base: Base | None = None,
    draw: Draw | None = None,
    on_checkpoint: Callable[[], None] | None = None,
) -> None:
    """Train until ``config.train.epochs``; go on from RUN's newest checkpoint where there is one.

    ``draw(truth (x, depth), prediction, sample id)`` makes the PNG that wandb gets. ``on_checkpoint()`` is called when
    all that a run needs to go on from here is on disk. Raises ``watch.Diverged`` when the loss is not finite,
    ``UserError`` when RUN was begun with other settings or samples, and, when the process is asked to end,
    ``KeyboardInterrupt`` after saving.
    """
    training = Training(config, samples, run, base, draw, on_checkpoint)
    if training.done >= training.total:
        print(f"{run}: finished, {training.done} steps; raise train.epochs to train longer", file=sys.stderr)
    else:
        training.go()


class Training:
    """A run under way. ``done`` counts the batches that each member has seen, of ``total``."""

    def __init__(
        self,
        config: Config,
        samples: Samples,
        run: Path,
        base: Base | None,
        draw: Draw | None,
        on_checkpoint: Callable[[], None] | None,
    ):
        self.config, self.samples, self.run, self.base, self.draw = config, samples, run, base, draw
        self.on_checkpoint = on_checkpoint
        self.store, self.size = samples.store, config.train.batch_size
        self.grids = base.grids if base is not None else None
        self.per_epoch = steps_per_epoch(len(samples.train), self.size)
        self.total = config.train.epochs * self.per_epoch
        self.data = batches(
            on_loss_grid(self.store, config.train.spacing_m),
            samples.train,
            batch_size=self.size,
            members=config.ensemble.members,
            seed=config.train.seed,
            extra=None if self.grids is None else {"base": self.grids},
        )
        base_shape = None if self.grids is None else self.grids.shape[1:]
        self.parts = assemble(config, self.store.survey, self.store.std, self.total, base_shape)
        found = checkpoints.newest(run, jax.eval_shape(self.parts.initial), self._check)
        if found is None:
            self.state, self.done, self.metrics = jax.jit(self.parts.initial)(), 0, {}
        else:
            self.state, meta, position = found
            self.done, self.metrics = meta.step, meta.metrics
            self.data.set_state(position)

    def go(self) -> None:
        """Step after step to the end."""
        if self.done:
            print(f"{self.run}: going on after step {self.done} of {self.total}", file=sys.stderr)
        track, settings = self.config.track, configs.as_dict(self.config)
        self.watch, self.saved = Watch(self.run, self.store.ids), time.monotonic()
        with (
            Tracker(self.run, self.done, mode=track.wandb, project=track.project, config=settings) as self.tracker,
            Progress(self.total * self.size, "training", initial=self.done * self.size) as self.progress,
            asked_to_stop() as stop,
        ):
            while self.done < self.total:
                begun, batch = time.monotonic(), next(self.data)
                index = batch.pop("index")
                self.state, metrics = self.parts.step(self.state, batch)
                self.done += 1
                self._show(self.watch.add(self.done, index, metrics, begun))
                stopping = stop()
                if self.done % self.per_epoch == 0:
                    self._epoch_ends(self.done // self.per_epoch)
                elif stopping or time.monotonic() - self.saved > SAVE_EVERY_S:
                    self._save("latest")
                if stopping and self.done < self.total:
                    raise KeyboardInterrupt

    def _epoch_ends(self, epoch: int) -> None:
        settings = self.config.train
        last = self.done == self.total
        if epoch % settings.validate_every == 0 or last:
            self._validate(epoch, figure=epoch % self.config.track.figure_every == 0 or last)
        kept = epoch % settings.checkpoint_every == 0
        self._save(*([f"epoch_{epoch}"] if kept else []), "latest")

    def _validate(self, epoch: int, figure: bool) -> None:
        self._show(self.watch.flush())
        scores, learnt = validate(
            self.parts.validate, self.state, self.store, self.samples.validation, self.size, self.grids
        )
        best = self.metrics.get("best_mape", float("inf"))
        self.metrics = scores.figures() | {"best_mape": min(scores.mape, best)}
        if self.base is not None:
            self.metrics |= {f"validation/{kernel}_mape": score for kernel, score in self.base.mape.items()}
        self.tracker.log(self.done, epoch, self.metrics)
        if scores.mape < best:
            self._save("best")
        self.state = learnt
        if figure and self.draw is not None:
            for row, predicted in zip(scores.rows, scores.predicted, strict=True):
                truth, name = self.store.velocities[row], self.store.ids[row]
                self.tracker.figure(
                    self.done, f"predictions/{name}", lambda t=truth, p=predicted, n=name: self.draw(t, p, n)
                )

    def _show(self, figures: dict[str, float]) -> None:
        if not figures:
            return
        rate = float(self.parts.rate((self.done - 1) // self.config.train.accumulate))
        self.tracker.log(self.done, self.done / self.per_epoch, figures | {"learning_rate": rate})
        shown = {"loss": figures["train/loss"], "mape": _percent(figures["train/mape"]), "lr": rate}
        if "validation/mape" in self.metrics:
            shown["validation"] = _percent(self.metrics["validation/mape"])
        self.progress.update(self.done * self.size - self.progress.done, **shown)

    def _save(self, *names: str) -> None:
        self._show(self.watch.flush())  # raises if the state is not worth keeping
        meta = checkpoints.Meta(
            config=self.config,
            survey=self.store.survey,
            std=self.store.std,
            step=self.done,
            epoch=self.done // self.per_epoch,
            metrics=self.metrics,
            data_ids=fingerprint(self.store.ids),
        )
        arrays = self.base.arrays if self.base is not None else None
        checkpoints.save(self.run, names, self.state, meta, self.data.get_state(), arrays)
        self.saved = time.monotonic()
        if self.on_checkpoint is not None and "latest" in names:
            self.on_checkpoint()

    def _check(self, meta: checkpoints.Meta) -> None:
        refuse_changes(meta.config, self.config, self.run)
        if (meta.data_ids, meta.std) != (fingerprint(self.store.ids), self.store.std):
            raise UserError(f"{self.run}: {OTHER_SAMPLES}")


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f}%"
