"""Two checkpoints as one: members that were trained apart, to correct the same baselines, predict together."""

import dataclasses
from typing import Any

import numpy as np
import scipy.special

from .. import config as configs
from ..config import Config
from ..errors import UserError
from ..files import digest_json
from ..sections import GroupConfig
from .checkpoints import Restored

ROUNDED = 0.01  # of an array's largest value: what a model file may have rounded


def merged(first: Restored, second: Restored, share: float) -> Restored:
    """``first`` with the members of ``second`` beside its own, these having ``share`` of the weight.

    Its run, and so the samples to calibrate with, is the first's; no scores are known of it. ``UserError`` unless both
    see the same of gathers and correct the same baselines, as where training of one started from the other; these may
    differ by what a model file rounds. And for a ``share`` that leaves one of them nothing.
    """
    if not 0 < share < 1:
        raise UserError(f"the share of the members beside is {share:g}; right is between 0 and 1")
    _check(first, second)
    groups = second.config.groups
    ensemble = first.config.ensemble
    ensemble = dataclasses.replace(ensemble, group=(*ensemble.group, *map(_group, groups.values())))
    config = dataclasses.replace(first.config, ensemble=ensemble)
    names = dict(zip(groups, [name for name in config.groups if name not in first.config.groups], strict=True))

    def both(part: str) -> dict[str, Any]:
        theirs = second.variables[part]
        return {**first.variables[part], **{names[name]: theirs[name] for name in theirs}}

    name = f"{first.label}_with_{second.label}"
    return dataclasses.replace(
        first,
        name=name,
        names=(name,),
        fingerprint=digest_json([first.fingerprint, second.fingerprint, share]),
        config=config,
        metrics={},
        params=both("params"),
        batch_stats=both("batch_stats"),
        logits=np.concatenate(
            [
                scipy.special.log_softmax(each.logits) + np.float32(np.log(weight))
                for each, weight in ((first, 1 - share), (second, share))
            ]
        ),
        ema=None,
        base=second.base,  # a model file's, where there is one: in little precision already
        extras={},
    )


def _group(config: Config) -> GroupConfig:
    """A group's own settings, all that prediction needs, as one of another preset's."""
    values = configs.as_dict(config)
    return GroupConfig(config.ensemble.members, config.base.regression, values["model"])


def _check(first: Restored, second: Restored) -> None:
    where = f"{first.path} and {second.path}"
    if other := first.survey.differences(second.survey):
        raise UserError(f"{where}: their networks know different surveys; what differs is {', '.join(other)}")
    if first.config.preprocess != second.config.preprocess or first.std != second.std:
        raise UserError(f"{where}: their networks see gathers preprocessed in different ways")
    mine, theirs = first.base or {}, second.base or {}
    differing = [name for name in {**mine, **theirs} if not _close(mine.get(name), theirs.get(name))]
    if differing:
        raise UserError(
            f"{where}: their networks correct different baselines ({', '.join(sorted(differing))}); train one of them "
            "--from the other"
        )


def _close(mine: np.ndarray | None, theirs: np.ndarray | None) -> bool:
    if mine is None or theirs is None or mine.shape != theirs.shape:
        return False
    return bool(np.allclose(mine, theirs, rtol=0.0, atol=ROUNDED * float(np.abs(mine).max(initial=0.0))))
