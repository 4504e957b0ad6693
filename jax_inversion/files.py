"""Files that appear whole or not at all."""

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np


@contextlib.contextmanager
def write_aside(path: Path | str) -> Iterator[Path]:
    """Yield a hidden path beside ``path`` to write a file or folder at; rename it to ``path`` when the block ends well.

    On an error nothing is left behind; a kill leaves a hidden ``.name.xxxx.partial`` that no reader takes for data.
    An existing file is replaced; an existing folder is replaced too.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    aside = holder / path.name
    try:
        yield aside
        if path.is_dir() and aside.is_dir():
            os.replace(path, holder / "replaced")
        os.replace(aside, path)
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def save_array(path: Path | str, array: np.ndarray) -> None:
    """Write ``array`` as .npy. ``OSError`` on a full disk, where np.save may lose the last bytes silently."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    Path(path).write_bytes(buffer.getbuffer())


def recover(path: Path | str) -> None:
    """Finish a replacement of the folder ``path`` that a kill cut between its two renames, and clear what kills left.

    Only for the one process that writes ``path``: it would take another's half-written folder for a leftover.
    """
    path = Path(path)
    for holder in path.parent.glob(f".{path.name}.*.partial"):
        if not path.exists() and (holder / "replaced").exists():
            os.replace(next(p for p in (holder / path.name, holder / "replaced") if p.exists()), path)
        shutil.rmtree(holder, ignore_errors=True)
