"""What every reader gives: the samples in somebody's files, each read when it is asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from .. import npy
from ..arrays import are_numbers
from ..errors import UserError

M_S_PER_KM_S = 1000.0


class Pair(NamedTuple):
    """Gathers as they were recorded, float32, and the model in km/s, float32, where one is known."""

    gathers: Float[np.ndarray, "shot time receiver"]
    velocity: Float[np.ndarray, "x depth"] | None


@dataclass(frozen=True)
class Shipment:
    """Samples by number. ``read`` may be called from several threads; ``UserError`` names the file that is wrong.

    ``geometry`` is what the files themselves say of the survey, by the names of ``Survey``'s fields; the shapes are
    known from headers, and all samples have them. ``model_shape`` is None where the files hold no models.
    """

    ids: tuple[str, ...]
    gathers_shape: tuple[int, ...]
    model_shape: tuple[int, ...] | None
    read: Callable[[int], Pair]
    geometry: Mapping[str, Any]


def row_ids(stem: str, count: int) -> list[str]:
    """Names of the samples of one file, by their rows from 0: data1-00000, data1-00001, ..."""
    return [f"{stem}-{k:05d}" for k in range(count)]


def one_shape(shapes: Mapping[Path, tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that all samples have. ``UserError`` names the first file with another."""
    (first, shape), *others = shapes.items()
    for path, other in others:
        if other != shape:
            raise UserError(f"{path}: its samples are {other}; those of {first} are {shape}, and one survey has one")
    return shape


def mapped(path: Path) -> np.memmap:
    """The values of an .npy file of real numbers, mapped into memory. ``UserError`` names the file and its fault."""
    try:
        header = npy.header_of(path)
    except npy.BadArray as error:
        raise UserError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    if fault := dtype_fault(header.dtype):
        raise UserError(f"{path}: {fault}")
    there = path.stat().st_size - len(header.raw)
    if there != header.nbytes:
        raise UserError(f"{path}: damaged .npy file: {there} of {header.nbytes} bytes of values are there")
    order = "F" if header.fortran_order else "C"
    return np.memmap(path, header.dtype, "r", len(header.raw), header.shape, order)


def dtype_fault(dtype: np.dtype) -> str:
    """What is wrong with an array of ``dtype``; nothing where it holds real numbers."""
    if dtype.hasobject:
        return "holds pickled objects, not numbers"
    return "" if are_numbers(dtype) else f"dtype is {dtype}; right are real numbers"
