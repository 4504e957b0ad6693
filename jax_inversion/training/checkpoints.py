"""Checkpoints: RUN/checkpoints/step_<8 digits>/, each written once, whole or not there. The only importer of Orbax.

One holds as Orbax items all that prediction needs, readable without the model's code (``weights``: parameters,
statistics, logits, average and, where there is one, the fitted baseline) and what only training needs (``optimiser``);
and ``checkpoint.json`` (see ``manifest.py``): config, survey, scores, names, the loader's position and checksums.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp

from .. import config as configs
from ..config import Config
from ..errors import UserError
from ..files import recover, write_aside
from ..survey import Survey
from .catalogue import FOLDER, asked_for, folder_of, look, missing, step_of, tidy
from .manifest import Damaged, Note, read_note, verify, write_note
from .state import TrainState, from_dict, to_dict

_PREDICTION = ("params", "batch_stats", "ema")
_ATTEMPTS = 20  # of a reader whose checkpoint is outdated while it reads

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Meta:
    """What a checkpoint says of itself. ``data_ids`` is a fingerprint of the training samples' ids, ``data`` of their
    contents.
    """

    config: Config
    survey: Survey  # the network's input: decimated
    std: float  # of the training gathers' amplitudes
    step: int
    per_epoch: int  # steps
    metrics: dict[str, int | float]
    data_ids: str
    data: str
    names: tuple[str, ...] = ()  # when it was saved; the newest is the latest whatever it is called

    @property
    def epoch(self) -> int:
        """How many are finished."""
        return self.step // self.per_epoch

    def as_dict(self) -> dict[str, Any]:
        plain = {"config": configs.as_dict(self.config), "survey": self.survey.as_dict(), "names": list(self.names)}
        return {**vars(self), **plain}


@dataclass(frozen=True)
class Restored:
    """A checkpoint for prediction. All arrays are NumPy's; ``params``, ``batch_stats`` and ``ema`` are by
    group, with the member axis first.

    ``name`` is what was asked for, or what was taken in place of a damaged one; ``names`` are all that its run has for
    it; ``run`` is the run's folder, or that in which a checkpoint lies that was copied alone. ``fingerprint`` is the
    same for the same checkpoint only.
    """

    path: Path
    run: Path
    name: str
    names: tuple[str, ...]
    fingerprint: str
    config: Config
    survey: Survey
    std: float
    step: int
    per_epoch: int
    metrics: dict[str, int | float]
    params: dict[str, Any]
    batch_stats: dict[str, Any]
    logits: np.ndarray  # those that the scores in ``metrics`` are of
    ema: dict[str, Any] | None
    base: dict[str, np.ndarray] | None  # the fitted baseline
    extras: Mapping[str, Any] = field(default_factory=dict)  # what a model file knows of the model's errors

    @property
    def epoch(self) -> int:
        """How many are finished."""
        return self.step // self.per_epoch

    @property
    def unfinished(self) -> bool:
        """Saved in the middle of the epoch after ``epoch``."""
        return self.step % self.per_epoch != 0

    @property
    def label(self) -> str:
        """For names of files: best_epoch_3, epoch_3, latest_epoch_3, latest_unfinished_epoch_4, step_00000010."""
        if self.name not in ("best", "latest"):
            return self.name
        return (
            f"{self.name}_unfinished_epoch_{self.epoch + 1}" if self.unfinished else f"{self.name}_epoch_{self.epoch}"
        )

    @property
    def variables(self) -> dict[str, Any]:
        """What ``ensemble.predict`` takes: the averaged weights where training kept them."""
        params = self.params | (self.ema or {})
        return {"params": params, "batch_stats": self.batch_stats, "logits": self.logits}


def save(
    run: Path,
    state: TrainState,
    meta: Meta,
    position: Mapping[str, Any],
    base: Mapping[str, np.ndarray] | None = None,
    logits: Any = None,
) -> None:
    """Write the checkpoint of ``meta.step``. ``logits`` are those to predict with, the state's own unless given."""
    values = to_dict(state)
    write(run, values, values["logits"] if logits is None else np.array(logits), meta, position, base)


def write(
    run: Path,
    values: Mapping[str, Any],
    logits: np.ndarray,
    meta: Meta,
    position: Mapping[str, Any],
    base: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write the state ``values`` (see ``to_dict``) and return the folder, which is there whole or not at all."""
    base = base or {}
    full = {name: array for name, array in base.items() if array.size}
    empty = {name: (array.shape, array.dtype.name) for name, array in base.items() if not array.size}  # Orbax has none
    weights = {name: values[name] for name in _PREDICTION} | {"logits": logits, "base": full or None}
    optimiser = {name: value for name, value in values.items() if name not in _PREDICTION}
    items = ocp.args.Composite(weights=ocp.args.StandardSave(weights), optimiser=ocp.args.StandardSave(optimiser))
    path = folder_of(run, meta.step)
    with write_aside(path) as aside:
        with _checkpointer() as checkpointer:
            checkpointer.save(aside.absolute(), args=items)
        write_note(aside, meta.as_dict() | {"empty_base": empty, "position": dict(position)})
    return path


def restore(spec: Path | str) -> Restored:
    """Read RUN (its best), RUN/best, RUN/latest, RUN/epoch_10 or a step's folder for prediction.

    A damaged best or latest is named in a warning, and an intact one is taken: the last before it, or the next. While
    the run is being trained one that is outdated meanwhile is looked up again. ``UserError`` if there is none.
    """
    for _ in range(_ATTEMPTS):
        faults: list[Damaged] = []
        for note, run, name, names in _candidates(spec, faults):
            try:
                restored = _read_prediction(note, run, name, names)
            except Damaged as fault:
                if not _still(note):
                    break
                faults.append(fault)
                continue
            if not _still(note):
                break
            for fault in faults:
                said = ", ".join((note.path.name, *names))
                log.warning(
                    "%s: the checkpoint %s is damaged (%s); taking %s", spec, fault.path.name, fault.fault, said
                )
            return restored
        else:
            raise faults[0]
    raise UserError(f"{spec}: the checkpoint was replaced again and again while it was read")


def _candidates(spec: Path | str, faults: list[Damaged]) -> Iterator[tuple[Note, Path, str, tuple[str, ...]]]:
    """(note, run, name, names) to try one after the other. What cannot be one of them is added to ``faults``."""
    asked = asked_for(spec)
    if asked[2] is not None:
        run, name, folder = asked
        note = read_note(folder)
        yield note, run or folder.parent, name, look(run).names(note.path) if run else note.names
        return
    run, name, _ = asked
    found = look(run)
    chosen = found.named.get(name)
    has_others = name in ("best", "latest")
    if chosen is None and not (found.damaged and has_others):
        raise missing(spec, run, name, found)
    if chosen is not None and not has_others:
        yield chosen, run, name, found.names(chosen.path)
        return
    # Of a note that cannot be read nobody knows whether it was called the best.
    faults += [fault for fault in found.damaged if chosen is None or (step_of(fault.path) or 0) > chosen.step]
    before = [note for note in reversed(found.notes) if chosen is None or note.step < chosen.step]
    after = [] if chosen is None else [note for note in found.notes if note.step > chosen.step]
    for note in [*([chosen] if chosen else []), *before, *after]:
        names = found.names(note.path)
        yield note, run, name if note is chosen else (*names, note.path.name)[0], names


def _read_prediction(note: Note, run: Path, name: str, names: tuple[str, ...]) -> Restored:
    verify(note, ["weights"])
    weights, empty = _read(note.path, weights=ocp.args.StandardRestore()).weights, note.values["empty_base"]
    if weights["base"] or empty:
        hollow = {name: np.zeros(shape, dtype) for name, (shape, dtype) in empty.items()}
        weights["base"] = (weights["base"] or {}) | hollow
    said = {name: value for name, value in vars(_meta(note)).items() if name not in ("data_ids", "data", "names")}
    return Restored(path=note.path, run=run, name=name, names=names, fingerprint=note.seal, **said, **weights)


def _still(note: Note) -> bool:
    try:
        return read_note(note.path).seal == note.seal
    except UserError:
        return False


def newest(
    run: Path, like: TrainState, check: Callable[[Meta], object]
) -> tuple[TrainState, Meta, dict[str, Any]] | None:
    """The newest intact checkpoint of an interrupted run, None where there is none at all.

    ``check`` raises where the run must not go on. Clears what a kill left half-written. A damaged checkpoint is named,
    and the next newest one taken. Only for the run's one trainer.
    """
    for name in {path.name[1:].rsplit(".", 2)[0] for path in (run / FOLDER).glob(".*.partial")}:
        recover(run / FOLDER / name)
    found = look(run)
    hurt = {step_of(fault.path) or 0: fault for fault in found.damaged}
    faults: list[Damaged] = []
    for step in sorted({note.step for note in found.notes} | hurt.keys(), reverse=True):
        if step in hurt:
            faults.append(hurt[step])
            continue
        note = next(note for note in found.notes if note.step == step)
        meta = _meta(note)
        check(meta)
        try:
            verify(note, ["weights", "optimiser"])
            state = _read_state(note, like)
        except Damaged as fault:
            faults.append(fault)
            continue
        for fault in faults:
            log.warning("%s; going on from %s instead", fault, note.path.name)
        if not faults:  # else what no name needs may still be needed
            tidy(run, note.path)
        return state, meta, note.values["position"]
    if faults:
        raise UserError(f"{run}: no checkpoint to go on from; {faults[0]}")
    return None


def newest_meta(run: Path | str) -> Meta | None:
    """What the newest readable checkpoint of a run says of itself; None where there is none."""
    notes = look(run).notes
    return _meta(notes[-1]) if notes else None


def _meta(note: Note) -> Meta:
    values, where = note.values, str(note.path)
    config = configs.from_dict(values["config"], where)
    survey = configs.from_dict({"survey": values["survey"]}, where).survey
    rest = {name: values[name] for name in ("std", "step", "per_epoch", "metrics", "data_ids", "data")}
    return Meta(config=config, survey=survey, names=note.names, **rest)


def _read_state(note: Note, like: TrainState) -> TrainState:
    items = _read(note.path, weights=ocp.args.StandardRestore(), optimiser=ocp.args.StandardRestore())
    weights = {name: items.weights[name] for name in _PREDICTION}
    return from_dict(weights | items.optimiser, like, str(note.path))


def _read(path: Path, **items: ocp.args.CheckpointArgs) -> Any:
    try:
        with _checkpointer() as checkpointer:
            return checkpointer.restore(path.absolute(), args=ocp.args.Composite(**items))
    except Exception as error:  # Orbax and TensorStore raise many kinds for what they cannot read
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Damaged(path, f"not readable: {reason}") from None


def _checkpointer() -> ocp.Checkpointer:
    return ocp.Checkpointer(ocp.CompositeCheckpointHandler())
