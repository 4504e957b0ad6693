"""The volume's folders, and what every stage does before and after its work. Light: no JAX, no front door."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

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
        yield folder


def fetch_command(path: Path | str, folder: Path | str) -> str:
    """How ``path``, a file or folder of the volume mounted at ``folder``, gets to the local disk."""
    path, inside = Path(path), Path(path).relative_to(folder)
    place = Path("fetched") / inside.parent
    return f"fetch it with:  mkdir -p {place} && modal volume get --force {NAME} {inside} {place}/"


class _Tee:
    """A stream that writes to two; all else is as with the first."""

    def __init__(self, first: TextIO, second: TextIO):
        self.first, self.second = first, second

    def write(self, text: str) -> int:
        self.second.write(text)
        return self.first.write(text)

    def flush(self) -> None:
        self.first.flush()
        self.second.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.first, name)
