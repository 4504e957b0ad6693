"""The volume's folders, and what every stage does before and after its work. Light: no JAX, no front door."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any

import modal

NAME = "speed-structure-vol"
MOUNT = "/vol"


def root() -> Path:
    """Where the volume is mounted; SPEED_VOL says another place."""
    return Path(os.environ.get("SPEED_VOL", MOUNT))


@contextlib.contextmanager
def at_work(stage: str) -> Iterator[Path]:
    """Yield the volume's folder, with the caches of JAX and Matplotlib on it; what is printed goes to logs/ too."""
    folder = root()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "cache" / "jax"))
    os.environ.setdefault("MPLCONFIGDIR", str(folder / "cache" / "matplotlib"))
    log = folder / "logs" / f"{time.strftime('%Y%m%d-%H%M%S')}_{stage}_{os.getpid()}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w", buffering=1) as file,
        contextlib.redirect_stdout(_Tee(sys.stdout, file)),
        contextlib.redirect_stderr(_Tee(sys.stderr, file)),
    ):
        from ..cli import prepare_output

        prepare_output()
        yield folder


def fetch_command(path: Path | str, folder: Path | str) -> str:
    """How ``path``, a file or folder of the volume mounted at ``folder``, gets to the local disk."""
    path, inside = Path(path), Path(path).relative_to(folder)
    place = Path("fetched") / inside.parent
    return f"fetch it with:  mkdir -p {place} && modal volume get --force {NAME} {inside} {place}/"


class Listing:
    """A path on a volume that is not mounted here: what the stages' checks ask of a ``Path``, through the client."""

    def __init__(self, volume: modal.Volume, path: PurePosixPath | str = "/", kind: str = ""):
        self.volume, self.path, self._kind = volume, PurePosixPath(path), kind

    def __truediv__(self, name: str) -> "Listing":
        return Listing(self.volume, self.path / name)

    def __str__(self) -> str:
        return f"{MOUNT}{self.path}"

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def parent(self) -> "Listing":
        return self if self.path == self.path.parent else Listing(self.volume, self.path.parent)

    @cached_property
    def kind(self) -> str:
        """``DIRECTORY``, ``FILE``, or nothing where there is none."""
        if self._kind or not self.name:
            return self._kind or "DIRECTORY"
        return next((other.kind for other in self.parent.iterdir() if other.name == self.name), "")

    def is_dir(self) -> bool:
        return self.kind == "DIRECTORY"

    def is_file(self) -> bool:
        return self.kind == "FILE"

    def iterdir(self) -> Iterator["Listing"]:
        try:
            for entry in self.volume.iterdir(str(self.path), recursive=False):
                yield Listing(self.volume, self.path / PurePosixPath(entry.path).name, entry.type.name)
        except modal.exception.NotFoundError:
            return

    def read_text(self) -> str:
        try:
            return b"".join(self.volume.read_file(str(self.path))).decode()
        except modal.exception.NotFoundError:
            raise FileNotFoundError(str(self)) from None


class _Tee:
    """A stream that writes to two; all else is as with the first."""

    def __init__(self, first: Any, second: IO[str]):
        self.first, self.second = first, second

    def write(self, text: str) -> int:
        self.second.write(text)
        return self.first.write(text)

    def flush(self) -> None:
        self.first.flush()
        self.second.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.first, name)
