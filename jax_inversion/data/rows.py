"""The packed store: samples decimated and laid in two memory-mapped arrays, with what they were made from.

It is filled aside and renamed, so a kill leaves the old store or none, and its arrays have checksums that are verified
before it is used again. ``store.py`` fills one from folders of samples.
"""

import io
import json
import logging
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import npy
from ..errors import UserError
from ..files import digest, digest_json
from ..survey import Survey
from .amplitudes import FAR, odd_amplitudes

GATHERS, VELOCITIES = "gathers.npy", "velocities.npy"
_META = "store.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Store:
    """Samples, row by row. ``gathers`` (sample, shot, time, receiver) are decimated, not normalised.

    ``velocities`` (sample, x, depth) are in km/s, on the survey's cells or on coarser ones of the same extent.
    ``survey`` has the decimated time axis. ``std`` is the standard deviation of the amplitudes of all samples whose
    level is near the others'. Both arrays are float32 and memory-mapped, read only. ``made_from`` is plain values.
    ``parts``: how many samples are of the first kind, of the second, ..., one behind the other; empty: all are of one.
    """

    ids: tuple[str, ...]
    gathers: Any  # as an array is indexed: NumPy's, or ``joined.Rows``
    velocities: Any
    survey: Survey
    std: float
    made_from: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def models(self) -> Any:
        """The velocities of a store that has them, as those for training do."""
        if self.velocities is None:
            raise ValueError("the store has gathers only")
        return self.velocities

    @property
    def fingerprint(self) -> str:
        """The same for stores that are made from the same only."""
        return digest_json(self.made_from)


@dataclass(frozen=True)
class Sums:
    """Over the amplitudes of one sample."""

    total: float
    squares: float

    @classmethod
    def of(cls, gathers: np.ndarray) -> "Sums":
        squares = np.square(gathers, dtype=np.float64)
        return cls(float(np.sum(gathers, dtype=np.float64)), float(np.sum(squares)))


def create(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.memmap]:
    """Arrays of float32 in a folder that is there, every byte on the disk. ``OSError`` where there is no room."""
    return {name: _create(folder / name, shape) for name, shape in shapes.items()}


def close(folder: Path, ids: Sequence[str], std: float, made_from: Mapping[str, Any]) -> None:
    """Write down what the arrays in ``folder`` hold: after this it is a store."""
    names = [name for name in (GATHERS, VELOCITIES) if (folder / name).exists()]
    sums = {name: digest(folder / name) for name in names}
    meta = {"made_from": made_from, "ids": list(ids), "std": std, "sha256": sums}
    (folder / _META).write_text(json.dumps(meta | {"checksum": digest_json(meta)}, indent=1))


def open_whole(folder: Path, survey: Survey) -> Store:
    """The store in ``folder``; ``survey`` has its interval. ``ValueError`` names the file whose bytes have changed."""
    meta = json.loads((folder / _META).read_text())
    checksum = meta.pop("checksum")
    if digest_json(meta) != checksum:
        raise ValueError(f"{_META} is damaged")
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda name: digest(folder / name), meta["sha256"])
        for (name, right), digested in zip(meta["sha256"].items(), found, strict=True):
            if digested != right:
                raise ValueError(f"{name} is damaged")
    velocities = npy.open_mapped(folder / VELOCITIES) if VELOCITIES in meta["sha256"] else None
    gathers = npy.open_mapped(folder / GATHERS)
    return Store(tuple(meta["ids"]), gathers, velocities, survey, float(meta["std"]), meta["made_from"])


def keep_rows(path: Path, rows: Sequence[int], count: int) -> None:
    """Move ``rows`` of ``count`` to the front and cut off what is behind them."""
    if len(rows) == count:
        return
    whole = npy.open_mapped(path, "r+")
    for to, row in enumerate(rows):
        whole[to] = whole[row]
    whole.flush()
    with open(path, "r+b") as file:
        _write_header(file, (len(rows), *whole.shape[1:]))  # as long as before: numpy leaves room for the first axis
        file.truncate(file.tell() + whole[: len(rows)].nbytes)


def scale(ids: Sequence[str], rows: Sequence[Sums], size: int) -> float:
    """The standard deviation of samples of ``size`` amplitudes, without those that are far louder or quieter."""
    far = odd_amplitudes([(row.squares / size) ** 0.5 for row in rows], FAR)
    for k, fault in far.items():
        _log.warning("sample %s: %s; it does not count in the scale", ids[k], fault)
    counted = [row for k, row in enumerate(rows) if k not in far]
    count = len(counted) * size
    mean, square = sum(row.total for row in counted) / count, sum(row.squares for row in counted) / count
    if square == 0:
        raise UserError(f"the gathers of all {len(rows)} samples are zero in the band that is kept")
    return max(square - mean**2, 0.0) ** 0.5


def _create(path: Path, shape: tuple[int, ...]) -> np.memmap:
    """A float32 array in a file whose every byte has its place on the disk: writing into a hole would die by SIGBUS.

    ``OSError`` where there is no room.
    """
    with open(path, "wb") as file:
        _write_header(file, shape)
        length = 4 * int(np.prod(shape))
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, file.tell() + length)
        else:
            for start in range(0, length, 1 << 24):
                file.write(bytes(min(1 << 24, length - start)))
    return npy.open_mapped(path, "r+")


def _write_header(file: io.BufferedIOBase, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
