"""Samples as named arrays in HDF5 files (extra ``hdf5``) or .npz archives; axes and units are said, never guessed."""

import threading
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from .. import npy
from ..errors import UserError
from ..files import DAMAGED_ZIP, open_plain
from .shipment import M_S_PER_KM_S, Pair, Shipment, dtype_fault, one_shape, row_ids

GATHER_AXES = ("shot", "time", "receiver")
MODEL_AXES = ("x", "depth")
_DAMAGE = (*DAMAGED_ZIP, OSError, RuntimeError, KeyError, TypeError, MemoryError)  # zipfile's and h5py's


@dataclass(frozen=True)
class Names:
    """What the arrays are called, and how they lie; a batch axis, where there is one, comes before these axes."""

    gathers: str
    velocity: str | None = None
    gather_axes: tuple[str, ...] = GATHER_AXES
    model_axes: tuple[str, ...] = MODEL_AXES
    units: Literal["km/s", "m/s"] = "km/s"

    def __post_init__(self) -> None:
        for found, right in ((self.gather_axes, GATHER_AXES), (self.model_axes, MODEL_AXES)):
            if sorted(found) != sorted(right):
                raise UserError(f"axes {','.join(found)!r}: right are {', '.join(right)}, each once, in any order")


class _Shelf(NamedTuple):
    """An open way into one kind of file: the shapes and dtypes of its arrays, and one of them or a row of it."""

    contents: Callable[[Path], dict[str, tuple[tuple[int, ...], np.dtype]]]
    read: Callable[[Path, str, int | None], np.ndarray]


def open_arrays(paths: Sequence[Path], kind: Literal["hdf5", "npz"], names: Names) -> Shipment:
    """The samples in files of named arrays, each holding one sample, or several along the first axis.

    ``UserError``: a file that is missing or damaged, an array that is not in it, has other axes or another length.
    """
    shelf = _hdf5() if kind == "hdf5" else _npz()
    ids: list[str] = []
    rows: list[tuple[Path, int | None]] = []
    gathers, models = {}, {}
    for path in paths:
        contents = shelf.contents(path)
        count, gathers[path] = _shape(path, contents, names.gathers, names.gather_axes, GATHER_AXES)
        if names.velocity is not None:
            others, models[path] = _shape(path, contents, names.velocity, names.model_axes, MODEL_AXES)
            if others != count:
                shapes = " and ".join(f"{name} {contents[name][0]}" for name in (names.gathers, names.velocity))
                raise UserError(f"{path}: {shapes}; right are as many models as gathers")
        ids += [path.stem] if count is None else row_ids(path.stem, count)
        rows += [(path, None)] if count is None else [(path, k) for k in range(count)]
    factor = np.float32(M_S_PER_KM_S if names.units == "m/s" else 1.0)

    def read(number: int) -> Pair:
        path, row = rows[number]
        recorded = _turned(shelf.read(path, names.gathers, row), names.gather_axes, GATHER_AXES)
        if names.velocity is None:
            return Pair(recorded, None)
        return Pair(recorded, _turned(shelf.read(path, names.velocity, row), names.model_axes, MODEL_AXES) / factor)

    recorded, model = one_shape(gathers), one_shape(models) if models else None
    geometry = {"nt": recorded[GATHER_AXES.index("time")]} | (
        dict(zip(("nx", "nz"), model, strict=True)) if model else {}
    )
    return Shipment(tuple(ids), recorded, model, read, geometry)


def _shape(
    path: Path, contents: dict[str, Any], name: str, axes: Sequence[str], wanted: Sequence[str]
) -> tuple[int | None, tuple[int, ...]]:
    """How many samples an array holds, None for one without a batch axis, and the shape of each in our order."""
    if name not in contents:
        raise UserError(f"{path}: no array {name!r} in it; there are {', '.join(sorted(contents)) or 'none'}")
    shape, dtype = contents[name]
    if fault := dtype_fault(dtype):
        raise UserError(f"{path}: {name}: {fault}")
    if len(shape) not in (len(axes), len(axes) + 1) or not all(shape):
        raise UserError(f"{path}: {name}: shape is {shape}; right is ({', '.join(axes)}), or samples before these")
    sizes = dict(zip(axes, shape[-len(axes) :], strict=True))
    return (shape[0] if len(shape) > len(axes) else None), tuple(sizes[axis] for axis in wanted)


def _turned(array: np.ndarray, axes: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    return np.ascontiguousarray(array.transpose([axes.index(axis) for axis in wanted]), np.float32)


def _npz() -> _Shelf:
    """An archive's arrays come whole, so the last two read are kept, gathers and models of one file."""
    kept: dict[tuple[Path, str], np.ndarray] = {}
    lock = threading.Lock()

    def contents(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        found = {}
        try:
            with open_plain(path) as file, zipfile.ZipFile(file) as archive:
                for entry in archive.namelist():
                    if entry.endswith(".npy"):
                        with archive.open(entry) as array:
                            assert isinstance(array, zipfile.ZipExtFile)  # typeshed calls it IO[bytes]
                            header = npy.read_header(array)
                        found[entry.removesuffix(".npy")] = (header.shape, header.dtype)
        except _DAMAGE as error:
            raise _unreadable(path, error, ".npz archive") from None
        return found

    def read(path: Path, name: str, row: int | None) -> np.ndarray:
        with lock:
            if (path, name) not in kept:
                while len(kept) >= 2:
                    kept.pop(next(iter(kept)))
                try:
                    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
                        assert isinstance(file, zipfile.ZipExtFile)
                        kept[path, name] = npy.read_values(file, npy.read_header(file))
                except _DAMAGE as error:
                    raise _unreadable(path, error, ".npz archive") from None
            whole = kept[path, name]
        return whole if row is None else whole[row]

    return _Shelf(contents, read)


def _hdf5() -> _Shelf:
    try:
        import h5py  # an extra
    except ImportError:
        raise UserError('HDF5 files need h5py: pip install "jax_inversion[hdf5]"') from None

    def contents(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        found: dict[str, tuple[tuple[int, ...], np.dtype]] = {}

        def note(name: str, node: Any) -> None:
            if isinstance(node, h5py.Dataset):
                found[str(name)] = (node.shape or (), node.dtype)

        try:
            open_plain(path).close()
            with h5py.File(path, "r") as file:
                file.visititems(note)
        except _DAMAGE as error:
            raise _unreadable(path, error, "HDF5 file") from None
        return found

    def read(path: Path, name: str, row: int | None) -> np.ndarray:
        try:
            with h5py.File(path, "r") as file:
                node = file[name]
                assert isinstance(node, h5py.Dataset)
                return np.asarray(node[() if row is None else row])
        except _DAMAGE as error:
            raise _unreadable(path, error, "HDF5 file") from None

    return _Shelf(contents, read)


def _unreadable(path: Path, error: Exception, kind: str) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path}: no such file")
    return UserError(f"{path}: not a readable {kind}, or a damaged one ({' '.join(str(error).split())})")
