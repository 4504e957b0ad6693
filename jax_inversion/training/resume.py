"""Which settings a run may change when it goes on."""

import logging
from collections.abc import Sequence
from pathlib import Path

from .. import config as configs
from ..config import Config
from ..data.store import Store
from ..errors import UserError
from . import checkpoints
from .base import simulated_for
from .samples import fingerprint

# Sections, or keys of one, that act from here on. On all others the weights, the samples or their order depend.
MAY_CHANGE = (
    "simulate", "simulator", "data.root", "data.skip_bad", "augment", "loss", "infer", "refine", "track",
    "train.epochs", "train.learning_rate", "train.warmup_fraction", "train.final_fraction", "train.weight_decay",
    "train.clip_norm", "train.checkpoint_every", "train.validate_every", "model.remat",
)  # fmt: skip
STEPS_ONLY = ("augment", "loss", "train")  # what acts in further steps and nowhere else

log = logging.getLogger(__name__)

OTHER_SAMPLES = "a run cannot go on with other samples; give those it began with or another --run"


def refuse_changes(before: Config, now: Config, where: Path | str) -> list[str]:
    """``UserError`` if a setting that must stay differs from that of the run ``where``; the other changes, in words."""
    old, new = configs.as_dict(before), configs.as_dict(now)
    changes = {
        f"{section}.{key}": f"{section}.{key} {old[section].get(key)!r} -> {new[section].get(key)!r}"
        for section in new
        for key in new[section] | old[section]
        if new[section].get(key) != old[section].get(key)
    }
    free = _free(before)
    fixed = [text for name, text in changes.items() if not {name, name.partition(".")[0]} & free]
    if fixed:
        raise UserError(
            f"{where}: a run cannot go on with another {'; '.join(fixed)}; give the former value or another --run"
        )
    return list(changes.values())


def _free(config: Config) -> set[str]:
    """``MAY_CHANGE``, but for what this run's samples, the background that whitening subtracts, or the gathers of bases
    are made with.
    """
    free, simulated = {*MAY_CHANGE}, config.data.source in ("simulated", "mixed")
    if simulated or config.preprocess.whiten or simulated_for(config):
        free -= {"simulator"}
    return free - {"simulate"} | {"simulate.test_count", "simulate.workers"} if simulated else free


def check_run(run: Path, config: Config, ids: Sequence[str] | None = None, store: Store | None = None) -> None:
    """``UserError`` unless the run, if it was begun, may go on with ``config`` and, where given, the samples ``ids``.

    Without their ``store``, before it is packed, what they hold is not compared, and where bad ones are left out not
    even which they are.
    """
    meta = checkpoints.newest_meta(run)
    if meta is None:
        return
    refuse_changes(meta.config, config, run)
    if config.train.epochs * meta.per_epoch < meta.step:
        raise UserError(
            f"{run}: {meta.step / meta.per_epoch:.4g} epochs are trained, train.epochs {config.train.epochs} is less; "
            "give more or another --run"
        )
    if ids is None:
        return
    if store is not None:
        same = (meta.data_ids, meta.data) == (fingerprint(ids), store.fingerprint)
    else:
        same = config.data.skip_bad or meta.data_ids == fingerprint(ids)
    if not same:
        raise UserError(f"{run}: {OTHER_SAMPLES}")


def say_changes(run: Path, config: Config) -> None:
    """In a line each: the settings that act from here on, and those that can no longer."""
    meta = checkpoints.newest_meta(run)
    if meta is None:
        return
    changes = refuse_changes(meta.config, config, run)
    finished = meta.step == config.train.epochs * meta.per_epoch
    idle = [text for text in changes if finished and text.partition(".")[0] in STEPS_ONLY]
    if idle := [text for text in idle if not text.startswith("train.epochs ")]:
        log.warning("%s: all %d epochs are trained, so %s has no effect", run, config.train.epochs, "; ".join(idle))
    if acting := [text for text in changes if text not in idle]:
        log.info("%s: going on with %s", run, "; ".join(acting))
