"""The training loop: steps, and at the end of an epoch validation and a checkpoint."""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .. import config as configs
from ..caches import keep_compiled
from ..config import Config
from ..data.inputs import from_arrays
from ..data.loader import batches, sources_of, steps_per_epoch
from ..data.store import Store
from ..progress import Progress
from ..runs import Run
from . import checkpoints
from .assembly import assemble
from .base import Base, predicted, simulated_for
from .catalogue import list_checkpoints
from .console import percent, say_end, say_epoch, say_validation
from .feed import Feed, fits, size_bytes
from .interrupt import asked_to_stop
from .memory import fitting
from .optimiser import rates_of
from .resume import check_run, refuse_changes, say_changes
from .rounds import Rounds, Tell
from .samples import BASE, BASE_GATHERS, Samples, fingerprint, on_loss_grid
from .saver import Saver
from .state import started
from .tracking import Tracker
from .validation import validate
from .watch import Watch

SAVE_EVERY_S = 600.0  # at most between checkpoints, where epochs are long

Fresh = Callable[[int, Tell], Store]  # the store of a later round, by its number
GathersOf = Callable[[str, np.ndarray, int, Tell | None], Any]  # of a baseline's grids for the samples of a round
Draw = Callable[[np.ndarray, np.ndarray, str], bytes]

log = logging.getLogger(__name__)


def fit(
    config: Config,
    samples: Samples,
    run: Path,
    base: Base | None = None,
    draw: Draw | None = None,
    on_checkpoint: Callable[[], None] | None = None,
    start: checkpoints.Restored | None = None,
    fresh: Fresh | None = None,
    gathers_of: GathersOf | None = None,
) -> None:
    """Train until ``config.train.epochs``; go on from RUN's newest checkpoint where there is one.

    A new run begins with the weights of ``start``, where that is given. ``fresh`` makes the samples of later rounds,
    where the config asks for such; ``gathers_of`` simulates those of bases, where networks look at them.

    ``draw(truth (x, depth), prediction, sample id)`` makes the PNG that wandb gets. ``on_checkpoint()`` is called in
    another thread when all that a run needs to go on from here is on disk. Raises ``watch.Diverged`` when the loss is
    not finite, ``RunError`` when a checkpoint cannot be written, ``UserError`` when RUN was begun with other settings
    or samples, and, when the process is asked to end, ``KeyboardInterrupt`` after saving.
    """
    check_run(run, config, samples.store.ids, samples.store)
    say_changes(run, config)
    keep_compiled()
    training = Training(config, samples, run, base, draw, on_checkpoint, start, fresh, gathers_of)
    if training.done < training.total:
        training.go()
    else:
        say_end(training.done // training.per_epoch, training.done, training.metrics)
        log.info("%s: nothing is left to train; raise train.epochs to train longer", run)


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
        start: checkpoints.Restored | None,
        fresh: Fresh | None,
        gathers_of: GathersOf | None,
    ):
        self.config, self.samples, self.run, self.base, self.draw = config, samples, run, base, draw
        self.store, self.size = samples.store, config.train.batch_size
        grids = base.grids if base is not None else {}
        self.per_epoch = steps_per_epoch(len(samples.train), self.size)
        self.total = config.train.epochs * self.per_epoch
        base_shapes = {name: rows.shape[1:] for name, rows in grids.items()}
        inputs = from_arrays(config.preprocess, self.store.survey, self.store.std, {} if base is None else base.arrays)
        self.parts = assemble(config, inputs, self.total, base_shapes, self.store.models.shape[1:])
        self.rates = rates_of(self.parts.rate, -(-self.total // config.train.accumulate))
        like = jax.eval_shape(self.parts.initial)
        found = checkpoints.newest(run, like, lambda meta: refuse_changes(meta.config, config, run))
        if found is None:
            state = jax.jit(self.parts.initial)()
            self.state = state if start is None else started(state, start.variables, str(start.path))
            self.done, self.metrics, position = 0, {}, None
        else:
            self.state, meta, position = found
            self.done, self.metrics = meta.step, meta.metrics
        self.state = self.parts.spread.put(self.state)
        self.gathers_of = gathers_of
        self.extra = self._of_bases(grids) if self.done < self.total else {}
        self.rounds = self._rounds(fresh)
        self.feed, self.resident_bytes = self._feed()
        if position is not None:
            self.feed.set_state(position)
        self.saver = Saver(run, None if base is None else base.arrays, self.done, on_checkpoint)
        name_of = self.rounds.name_of if self.rounds else self.store.ids.__getitem__
        self.watch, self.saved = Watch(run, name_of, self._kept), time.monotonic()

    def _rounds(self, fresh: Fresh | None) -> Rounds | None:
        every, config, base, std = self.config.simulate.fresh_every, self.config, self.base, self.store.std
        count = -(-config.train.epochs // every) if every and fresh else 1
        if count == 1 or self.done == self.total:
            return None
        assert fresh is not None

        def bases(store: Store, number: int, tell: Tell) -> dict[str, Any]:
            return {} if base is None else self._of_bases(predicted(config, base, store, std), number, tell)

        return Rounds(
            self.samples, self.extra, count, self.done // self.per_epoch // every, Run(self.run).fresh, fresh, bases
        )

    def _of_bases(self, grids: Mapping[str, np.ndarray], number: int = 0, tell: Tell | None = None) -> dict[str, Any]:
        """What a batch of a round's samples has of the baselines beside gathers and velocity, by the batch's names."""
        found: dict[str, Any] = {BASE + name: rows for name, rows in grids.items()}
        for name in simulated_for(self.config):
            assert self.gathers_of is not None
            found[BASE_GATHERS + name] = self.gathers_of(name, grids[name], number, tell)
        return found

    def _feed(self) -> tuple[Feed, int]:
        """The batches, and how many bytes of samples lie on each device for them."""
        config, spread, rounds = self.config, self.parts.spread, self.rounds
        trained, extra, later = (rounds.store, rounds.extra, rounds.later) if rounds else (self.store, self.extra, ())
        store = on_loss_grid(trained, config.train.spacing_m)
        sources = sources_of(store, extra)
        resident = sources if not rounds and fits(sources, spread) else None
        data = batches(
            store,
            self.samples.train,
            batch_size=self.size,
            members=config.total_members,
            seed=config.train.seed,
            resample=config.ensemble.resample,
            extra=extra,
            second_share=config.data.simulated_share,
            later=later,
            fresh_every=config.simulate.fresh_every,
            rows_only=resident is not None,
        )
        return Feed(data, spread, resident), size_bytes(resident or {})

    def go(self) -> None:
        """Step after step to the end."""
        track, settings = self.config.track, configs.as_dict(self.config)
        with (
            asked_to_stop() as stop,
            Tracker(self.run, self.done, mode=track.wandb, project=track.project, config=settings) as self.tracker,
            Progress(self.total * self.size, "training", initial=self.done * self.size) as self.progress,
            self.saver,
            contextlib.closing(self.rounds) if self.rounds else contextlib.nullcontext(),
        ):
            if not self.parts.spread.is_one:
                log.info("%s: training on %s", self.run, self.parts.spread)
            if self.done:
                log.info("%s: going on after step %d of %d", self.run, self.done, self.total)
            first, devices = self.feed.send(), len(self.parts.spread.devices)
            step = fitting(self.parts.step, self.parts.leaner, self.state, first, self.resident_bytes, devices)
            while self.done < self.total:
                begun, (index, batch) = time.monotonic(), self.feed.take()
                self.state, metrics = step(self.state, batch)
                self.done += 1
                if self.done < self.total:
                    self.feed.send()  # while the step computes
                self._show(self.watch.add(self.done, index, metrics, begun))
                self.saver.check()
                if self.rounds:
                    self.rounds.check()
                stopping = stop()
                if self.done % self.per_epoch == 0:
                    self._epoch_ends(self.done // self.per_epoch)
                elif stopping or time.monotonic() - self.saved > SAVE_EVERY_S:
                    self._save()
                if stopping and self.done < self.total:
                    raise KeyboardInterrupt
        if self.rounds:
            self.rounds.remove()
        say_end(self.config.train.epochs, self.done, self.metrics)

    def _epoch_ends(self, epoch: int) -> None:
        settings, last = self.config.train, self.done == self.total
        self._show(self.watch.flush())
        say_epoch(epoch, settings.epochs, *self.watch.epoch(), self._rate())
        names = [f"epoch_{epoch}"] if epoch % settings.checkpoint_every == 0 else []
        scored = self.state.logits
        if (epoch % settings.validate_every == 0 or last) and self._validate(epoch, last):
            names.insert(0, "best")
        self._save(*names, logits=scored)

    def _validate(self, epoch: int, last: bool) -> bool:
        """Score the ensemble and teach it its weights; whether it is better than ever before."""
        scores, self.state = validate(
            self.parts.validate, self.state, self.store, self.samples.validation, self.size, self.extra
        )
        best = {name: self.metrics[name] for name in ("best_mape", "best_epoch") if name in self.metrics}
        is_best = scores.mape < best.get("best_mape", float("inf"))
        self.metrics = scores.figures() | ({"best_mape": scores.mape, "best_epoch": epoch} if is_best else best)
        if self.base is not None:
            self.metrics |= {f"validation/{kernel}_mape": score for kernel, score in self.base.mape.items()}
        self.tracker.log(self.done, float(epoch), self.metrics)
        say_validation(epoch, scores, is_best)
        draw = self.draw
        if draw is not None and (last or epoch % self.config.track.figure_every == 0):
            for row, predicted in zip(scores.rows, scores.predicted, strict=True):
                truth, name = self.store.models[row], self.store.ids[row]
                self.tracker.figure(
                    self.done, f"predictions/{name}", lambda t=truth, p=predicted, n=name: draw(t, p, n)
                )
        return is_best

    def _show(self, figures: dict[str, float]) -> None:
        if not figures:
            return
        rate = self._rate()
        self.tracker.log(self.done, self.done / self.per_epoch, figures | {"learning_rate": rate})
        shown = {"loss": figures["train/loss"], "mape": percent(figures["train/mape"]), "lr": rate}
        if "validation/mape" in self.metrics:
            shown["validation"] = percent(self.metrics["validation/mape"])
        self.progress.update(self.done * self.size - self.progress.done, **shown)

    def _save(self, *names: str, logits: Any = None) -> None:
        self._show(self.watch.flush())  # raises if the state is not worth keeping
        meta = checkpoints.Meta(
            config=self.config,
            survey=self.store.survey,
            std=self.store.std,
            step=self.done,
            per_epoch=self.per_epoch,
            metrics=self.metrics,
            data_ids=fingerprint(self.store.ids),
            data=self.store.fingerprint,
            names=names,
        )
        self.saver.save(self.state, meta, self.feed.get_state(), logits)
        self.saved = time.monotonic()

    def _rate(self) -> float:
        return float(self.rates[(self.done - 1) // self.config.train.accumulate])

    def _kept(self) -> list[str]:
        self.saver.wait()
        return list_checkpoints(self.run)
