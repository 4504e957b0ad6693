"""What a checkpoint says of itself: ``checkpoint.json``, with the checksum of every other file, sealed by its own.

``{"sha256": seal, "checkpoint": {"format", "step", "names", ..., "files": {"weights/d/0a1b": sha256, ...}}}``.
The seal covers all that is said, so it is the identity of the whole checkpoint.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import digest, digest_json

FORMAT = "jax_inversion checkpoint 3"
NOTE = "checkpoint.json"


class Damaged(UserError):  # noqa: N818
    """A checkpoint is not, or not wholly, what was written. ``fault`` names the file."""

    def __init__(self, path: Path, fault: str):
        super().__init__(f"{path}: the checkpoint is damaged: {fault}")
        self.path, self.fault = path, fault


@dataclass(frozen=True, eq=False)
class Note:
    """``checkpoint.json`` of the folder ``path``, found whole."""

    path: Path
    seal: str
    values: Mapping[str, Any]

    @property
    def step(self) -> int:
        """Batches that each member has seen."""
        return self.values["step"]

    @property
    def names(self) -> tuple[str, ...]:
        """Those it was given when it was saved; a later checkpoint may have taken some over."""
        return tuple(self.values["names"])


def write_note(folder: Path, values: Mapping[str, Any]) -> None:
    """Seal the checkpoint in ``folder``, all of whose other files are there."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): digest(path) for path in paths}
    said = {"format": FORMAT, **values, "files": files}
    (folder / NOTE).write_text(json.dumps({"sha256": digest_json(said), "checkpoint": said}, indent=1) + "\n")


def read_note(folder: Path) -> Note:
    """``Damaged`` unless the folder's note is whole; ``UserError`` if it is of another format."""
    try:
        values = json.loads((folder / NOTE).read_bytes())
        said, seal = values["checkpoint"], values["sha256"]
        whole = seal == digest_json(said)
    except FileNotFoundError:
        raise Damaged(folder, f"{NOTE} is missing") from None
    except OSError as error:
        raise Damaged(folder, f"{NOTE}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Damaged(folder, f"{NOTE} is not readable") from None
    if not whole:
        raise Damaged(folder, f"{NOTE} differs from its checksum")
    if said["format"] != FORMAT:
        raise UserError(f"{folder}: a checkpoint of another version: found {said['format']!r}, right is {FORMAT!r}")
    return Note(folder, seal, said)


def verify(note: Note, parts: Sequence[str]) -> None:
    """``Damaged`` unless every file of the folder's ``parts``, and those beside them, is what was written."""
    for name, right in note.values["files"].items():
        first, _, inside = name.partition("/")
        if inside and first not in parts:
            continue
        try:
            if digest(note.path / name) != right:
                raise Damaged(note.path, f"{name} differs from its checksum")
        except FileNotFoundError:
            raise Damaged(note.path, f"{name} is missing") from None
        except (OSError, UserError) as error:
            raise (
                error if isinstance(error, Damaged) else Damaged(note.path, f"{name} is not readable: {error}")
            ) from None
