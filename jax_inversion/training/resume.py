"""Which settings a run may change when it goes on."""

import sys
from collections.abc import Sequence
from pathlib import Path

from .. import config as configs
from ..config import Config
from ..errors import UserError
from . import checkpoints
from .samples import fingerprint

# A section, or a key of one: what the weights, the samples and their order depend on.
FIXED = (
    "survey", "preprocess", "base", "model", "ensemble", "data.validation_fraction", "data.split_seed",
    "train.batch_size", "train.accumulate", "train.seed", "train.ema_decay", "train.spacing_m",
)  # fmt: skip

OTHER_SAMPLES = "a run cannot go on with other samples; give those it began with or another --run"


def refuse_changes(before: Config, now: Config, where: Path | str) -> list[str]:
    """``UserError`` if a fixed setting differs from that of the run ``where``; otherwise the changes, in words."""
    old, new = configs.as_dict(before), configs.as_dict(now)
    changes = {
        f"{section}.{key}": f"{section}.{key} {old[section][key]!r} -> {new[section][key]!r}"
        for section in new
        for key in new[section]
        if new[section][key] != old[section][key]
    }
    fixed = [text for name, text in changes.items() if name in FIXED or name.partition(".")[0] in FIXED]
    if fixed:
        raise UserError(
            f"{where}: a run cannot go on with another {'; '.join(fixed)}; give the former value or another --run"
        )
    return list(changes.values())


def check_run(run: Path, config: Config, ids: Sequence[str]) -> None:
    """Before anything is written: may the run, if it was begun, go on with ``config`` and the samples ``ids``?"""
    for name in checkpoints.list_checkpoints(run):
        try:
            meta = checkpoints.read_meta(run / checkpoints.FOLDER / name)
        except UserError:
            continue  # another one may be readable; going on says what is wrong with this one
        if changes := refuse_changes(meta.config, config, run):
            print(f"{run}: going on with {'; '.join(changes)}", file=sys.stderr)
        # With bad samples left out only packing tells which remain, and going on compares those.
        if not config.data.skip_bad and fingerprint(ids) != meta.data_ids:
            raise UserError(f"{run}: {OTHER_SAMPLES}")
        return
