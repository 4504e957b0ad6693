"""The checkpoints of a run, RUN/checkpoints/step_<8 digits>/, and their names, which follow from what these say.

``latest`` is the highest step, ``best`` the highest one that was called so when it was saved, ``epoch_<n>`` the one
that was. There are no links and no list, so one renaming makes a checkpoint with all its names, and nothing disagrees.
"""

import re
import shutil
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from ..former_names import former
from .manifest import NOTE, Damaged, Note, read_note

FOLDER = "checkpoints"
_STEP = re.compile(r"step_(\d+)")
_EPOCH = re.compile(r"epoch_(\d+)")
RIGHT = "right is RUN, RUN/best, RUN/latest, RUN/epoch_<n> or a folder step_<n>"


@dataclass(frozen=True)
class Catalogue:
    """What was found in a run: ``notes`` by rising step, and the folders whose note is ``damaged``, likewise."""

    notes: Sequence[Note]
    damaged: Sequence[Damaged]

    @property
    def named(self) -> dict[str, Note]:
        """best, latest, then epochs in order."""
        found = {name: note for note in self.notes for name in note.names}
        if self.notes:
            found["latest"] = self.notes[-1]
        return dict(sorted(found.items(), key=lambda item: _order(item[0])))

    def names(self, path: Path) -> tuple[str, ...]:
        """Of the step folder ``path``."""
        return tuple(name for name, note in self.named.items() if note.path == path)


def folder_of(run: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return run / FOLDER / f"step_{step:08d}"


def step_of(path: Path) -> int | None:
    """The step of a folder's name; None where it is not one of a step."""
    match = _STEP.fullmatch(path.name)
    return int(match[1]) if match else None


def look(run: Path | str) -> Catalogue:
    """Read the notes of a run. ``UserError`` for checkpoints of another version."""
    folder = Path(run) / FOLDER
    there = folder.iterdir() if folder.is_dir() else ()
    found = {step: p for p in there if (step := step_of(p)) is not None and p.is_dir()}
    notes, damaged = [], []
    for _, path in sorted(found.items()):
        try:
            notes.append(read_note(path))
        except Damaged as fault:
            if path.exists():  # else the run's trainer has just removed it
                damaged.append(fault)
    if not found and folder.is_dir():
        _refuse_former_layout(folder)
    return Catalogue(notes, damaged)


def list_checkpoints(run: Path | str) -> list[str]:
    """Names of a run's checkpoints: best, latest, then epochs in order."""
    return list(look(run).named)


def asked_for(spec: Path | str) -> tuple[Path, str, None] | tuple[Path | None, str, Path]:
    """(run, name, None) of RUN, RUN/best, RUN/epoch_10, ..., or (run or None, name, folder) of a step's own folder.

    RUN alone is its best. ``UserError`` in plain words for what is neither.
    """
    spec = Path(spec)
    if (spec / NOTE).is_file() or (step_of(spec) is not None and spec.is_dir()):
        return (spec.parent.parent if spec.absolute().parent.name == FOLDER else None), spec.name, spec
    if (spec / FOLDER).is_dir():
        return spec, "best", None
    run, name = spec.parent, spec.name
    run = run.parent if run.name == FOLDER else run
    if match := _EPOCH.fullmatch(name):
        name = f"epoch_{int(match[1])}"
    if (step := step_of(spec)) is not None and folder_of(run, step).is_dir():
        return run, folder_of(run, step).name, folder_of(run, step)
    if new := former(name):
        raise UserError(f"{spec}: {name} is called {new} here; give {run / new}")
    if not (run / FOLDER).is_dir():
        if spec.is_file():
            raise UserError(f"{spec}: a file; a checkpoint is a folder, {RIGHT}")
        if spec.is_dir():
            raise UserError(f"{spec}: not a run with checkpoints; there is no {spec / FOLDER}")
        raise UserError(f"{spec}: no such run or checkpoint; {RIGHT}, a model file *.npz, or pretrained")
    return run, name, None


def resolve(spec: Path | str) -> Path:
    """The step folder of RUN[/best|/latest|/epoch_10|/step_00000202]; ``UserError`` lists the names there are."""
    asked = asked_for(spec)
    if asked[2] is not None:
        return asked[2]
    run, name, _ = asked
    found = look(run)
    if name in found.named:
        return found.named[name].path
    raise missing(spec, run, name, found)


def missing(spec: Path | str, run: Path, name: str, found: Catalogue) -> UserError:
    """That ``run`` has no checkpoint ``name``, and which it has."""
    there = ", ".join(found.named) or "none"
    hurt = "".join(f"; {fault.path.name} is damaged ({fault.fault})" for fault in found.damaged)
    return UserError(f"{spec}: {run} has no checkpoint {name!r}; it has {there}{hurt}")


def tidy(run: Path, written: Path, redone: Collection[Path] = ()) -> None:
    """Remove the step folders that no name needs, now that ``written`` is in place.

    One whose note is damaged is kept, for somebody may want what is left of it, unless it is among ``redone``, those
    that a trainer had to go back behind, and the trainer has come past it.
    """
    found, step = look(run), step_of(written) or 0
    needed = {note.path for note in found.named.values()} | {written}
    outdated = [note.path for note in found.notes if note.path not in needed]
    outdated += [fault.path for fault in found.damaged if fault.path in redone and (step_of(fault.path) or 0) < step]
    for path in outdated:
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
        path.rename(holder / "outdated")  # gone at once for those who read it
        shutil.rmtree(holder, ignore_errors=True)


def _refuse_former_layout(folder: Path) -> None:
    old = sorted(
        p.name for p in folder.iterdir() if p.is_dir() and (p.name in ("best", "latest") or _EPOCH.match(p.name))
    )
    if old:
        raise UserError(
            f"{folder}: checkpoints of an earlier version ({', '.join(old)}), which this one does not read: "
            "use them with the version that made them, or train in another --run"
        )


def _order(name: str) -> tuple[int, int, str]:
    match = _EPOCH.fullmatch(name)
    return (1, int(match[1]), name) if match else (0, 0, name)
