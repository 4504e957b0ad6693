"""Checkpoints: RUN/checkpoints/{latest,best,epoch_<n>}, each whole or not there. The only importer of Orbax.

One holds in a single Orbax ``Composite`` all that prediction needs, readable without the model's code (``weights``:
parameters, statistics, logits, average and, where there is one, the fitted baseline), what only training needs
(``optimiser``, ``data``: the loader's position) and ``meta`` (config, survey, amplitude, epoch, scores) as JSON.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp

from .. import config as configs
from ..config import Config
from ..errors import UserError
from ..files import recover, write_aside
from ..survey import Survey
from .state import TrainState, from_dict, to_dict

FORMAT = "jax_inversion checkpoint 1"
FOLDER = "checkpoints"
_NAME = re.compile(r"latest|best|epoch_\d+")
_PREDICTION = ("params", "batch_stats", "ema", "logits")


@dataclass(frozen=True)
class Restored:
    """A checkpoint for prediction. All arrays are NumPy's; ``params`` and ``ema`` have the member axis first."""

    path: Path
    config: Config
    survey: Survey  # the network's input: decimated
    std: float  # of the training gathers' amplitudes
    step: int
    epoch: int  # finished ones
    metrics: dict[str, float]
    params: dict[str, Any]
    batch_stats: dict[str, Any]
    logits: np.ndarray
    ema: dict[str, Any] | None
    base: dict[str, np.ndarray] | None  # the fitted baseline

    @property
    def variables(self) -> dict[str, Any]:
        """What ``ensemble.predict`` takes: the averaged weights where training kept them."""
        params = self.params if self.ema is None else self.ema
        return {"params": params, "batch_stats": self.batch_stats, "logits": self.logits}


@dataclass(frozen=True)
class Meta:
    """What a checkpoint says of itself. ``data_ids`` is a fingerprint of the samples that trained it."""

    config: Config
    survey: Survey
    std: float
    step: int
    epoch: int
    metrics: dict[str, float]
    data_ids: str

    def as_dict(self) -> dict[str, Any]:
        plain = {"config": configs.as_dict(self.config), "survey": self.survey.as_dict()}
        return {"format": FORMAT, **vars(self), **plain}


def save(
    run: Path,
    names: Sequence[str],
    state: TrainState,
    meta: Meta,
    data_state: Mapping[str, Any],
    base: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write the checkpoints ``names``. Each replaces its predecessor only when it is complete."""
    values = to_dict(state)
    base = base or {}
    full = {name: array for name, array in base.items() if array.size}
    empty = {name: (array.shape, array.dtype.name) for name, array in base.items() if not array.size}  # Orbax has none
    weights = {name: values.pop(name) for name in _PREDICTION} | {"base": full or None}
    items = ocp.args.Composite(
        weights=ocp.args.StandardSave(weights),
        optimiser=ocp.args.StandardSave(values),
        data=ocp.args.JsonSave(dict(data_state)),
        meta=ocp.args.JsonSave(meta.as_dict() | {"empty_base": empty}),
    )
    for name in names:
        with write_aside(run / FOLDER / name) as aside, _checkpointer() as checkpointer:
            checkpointer.save(aside.absolute(), args=items)


def restore(spec: Path | str) -> Restored:
    """Read RUN (its best), RUN/best, RUN/latest or RUN/epoch_10 for prediction; ``UserError`` if missing or damaged."""
    path = resolve(spec)
    meta = read_meta(path)
    items = _read(path, weights=ocp.args.StandardRestore(), meta=ocp.args.JsonRestore())
    weights, empty = items.weights, items.meta["empty_base"]
    if weights["base"]:
        weights["base"] |= {name: np.zeros(shape, dtype) for name, (shape, dtype) in empty.items()}
    fields = {name: value for name, value in vars(meta).items() if name != "data_ids"}
    return Restored(path=path, **fields, **weights)


def newest(
    run: Path, like: TrainState, check: Callable[[Meta], None]
) -> tuple[TrainState, Meta, dict[str, Any]] | None:
    """The newest readable checkpoint of an interrupted run, None where there is none at all.

    ``check`` raises where the run must not go on. Finishes or clears what a kill left. A damaged checkpoint is named,
    and the next newest one taken. Only for the run's one trainer.
    """
    for name in {path.name[1:].rsplit(".", 2)[0] for path in (run / FOLDER).glob(".*.partial")}:
        recover(run / FOLDER / name)
    faults: list[str] = []
    readable: list[tuple[int, bool, str, Meta]] = []
    for name in list_checkpoints(run):
        try:
            meta = read_meta(run / FOLDER / name)
            readable.append((meta.step, name == "latest", name, meta))
        except UserError as error:
            faults.append(str(error))
    for _, _, name, meta in sorted(readable, key=lambda entry: entry[:3], reverse=True):
        check(meta)
        try:
            state, data_state = _read_state(run / FOLDER / name, like)
        except UserError as error:
            faults.append(str(error))
            continue
        for fault in faults:
            print(f"{fault}; going on from {name} instead", file=sys.stderr)
        return state, meta, data_state
    if faults:
        raise UserError(f"{run}: no checkpoint to go on from; {faults[0]}")
    return None


def list_checkpoints(run: Path | str) -> list[str]:
    """Names of a run's checkpoints: best, latest, then epochs in order."""
    folder = Path(run) / FOLDER
    names = [p.name for p in folder.iterdir() if p.is_dir() and _NAME.fullmatch(p.name)] if folder.is_dir() else []
    return sorted(names, key=lambda n: (n.startswith("epoch_"), int(n[6:]) if n.startswith("epoch_") else 0, n))


def resolve(spec: Path | str) -> Path:
    """The folder of RUN[/best|/latest|/epoch_10]; RUN alone is its best. ``UserError`` lists those there are."""
    spec = Path(spec)
    if (spec / FOLDER).is_dir():
        run, name = spec, "best"
    else:
        run, name = spec.parent, spec.name
        run = run.parent if run.name == FOLDER else run
    if _NAME.fullmatch(name) and (run / FOLDER / name).is_dir():
        return run / FOLDER / name
    there = list_checkpoints(run)
    if there:
        raise UserError(f"{spec}: {run} has no checkpoint {name!r}; it has {', '.join(there)}")
    if spec.is_dir():
        raise UserError(f"{spec}: not a run with checkpoints; there is no {spec / FOLDER / 'best'}")
    raise UserError(f"{spec}: no such run or checkpoint; right is RUN, RUN/best, RUN/latest or RUN/epoch_<n>")


def read_meta(path: Path) -> Meta:
    """What the checkpoint folder ``path`` says of itself; a folder that is no checkpoint of ours is a ``UserError``."""
    values = _read(path, meta=ocp.args.JsonRestore()).meta
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        found = values.get("format") if isinstance(values, dict) else values
        raise UserError(f"{path}: not a checkpoint of this version: found format {found!r}, expected {FORMAT!r}")
    try:
        config = configs.from_dict(values["config"], str(path))
        survey = configs.from_dict({"survey": values["survey"]}, str(path)).survey
        rest = {name: values[name] for name in ("std", "step", "epoch", "metrics", "data_ids")}
    except KeyError as error:
        raise UserError(f"{path}: not a complete checkpoint: {error} is missing") from None
    return Meta(config=config, survey=survey, **rest)


def _read_state(path: Path, like: TrainState) -> tuple[TrainState, dict[str, Any]]:
    items = _read(
        path, weights=ocp.args.StandardRestore(), optimiser=ocp.args.StandardRestore(), data=ocp.args.JsonRestore()
    )
    weights = {name: value for name, value in items.weights.items() if name != "base"}
    return from_dict(weights | items.optimiser, like, str(path)), items.data


def _read(path: Path, **items: ocp.args.CheckpointArgs) -> Any:
    try:
        with _checkpointer() as checkpointer:
            return checkpointer.restore(path.absolute(), args=ocp.args.Composite(**items))
    except Exception as error:  # Orbax and TensorStore raise many kinds for a damaged or foreign folder
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path}: not a readable checkpoint, damaged or made by something else: {reason}") from None


def _checkpointer() -> ocp.Checkpointer:
    return ocp.Checkpointer(ocp.CompositeCheckpointHandler())
