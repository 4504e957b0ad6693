"""Arrays in .npy files, read with suspicion: no pickles, no memory on a header's word, every byte accounted for.

NumPy's own reader hands headers to Python's parser, which fails at random in threads (3.11.7: "AST constructor
recursion depth mismatch"). They are simple enough to be matched. Format: numpy.lib.format.
"""

import io
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from .files import open_plain

MAGIC = b"\x93NUMPY"
LONGEST = 1 << 16  # bytes of a header; numpy's take 64 to 256
_LENGTH_BYTES = {1: 2, 2: 4, 3: 4}  # by version
_ENTRY = re.compile(
    r"""\s*(['"])(?P<key>descr|fortran_order|shape)\1\s*:\s*"""
    r"""(?:(['"])(?P<descr>[<>|=]?[a-zA-Z]\d*)\3|(?P<fortran_order>True|False)|\((?P<shape>[\d\s,]*)\))\s*(?:,|(?=\}))"""
)


class BadArray(ValueError):  # noqa: N818
    """Not a .npy file, or a damaged one. The message is the reason, without the file's name."""


@dataclass(frozen=True)
class Header:
    """What a file promises. ``raw``: the very bytes, up to the first value."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran_order: bool
    raw: bytes

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: io.BufferedIOBase) -> Header:
    """The header at the file's position. ``BadArray`` where there is none."""
    start = file.read(8)
    if not start:
        raise BadArray("truncated: the file is empty")
    if start[:6] != MAGIC:
        raise BadArray("a pickle, not an .npy file" if start[:1] == b"\x80" else "not an .npy file")
    width = _LENGTH_BYTES.get(start[6] if len(start) == 8 else 1)
    if width is None:
        raise BadArray(f"damaged .npy file: version {start[6]} is unknown")
    length = file.read(width)
    size = int.from_bytes(length, "little")
    if size > LONGEST:
        raise BadArray(f"damaged .npy file: a header of {size} bytes")
    text = file.read(size)
    if len(start) < 8 or len(length) < width or len(text) < size:
        raise BadArray("truncated .npy file: it ends in its header")
    shape, dtype, fortran_order = _parse(text.decode("latin1"))
    return Header(shape, dtype, fortran_order, start + length + text)


def read_values(file: io.BufferedIOBase, header: Header, hasher: Any = None) -> np.ndarray:
    """The array behind ``header``; look at its shape first. ``hasher`` is updated with all bytes, the header's too.

    ``BadArray`` where values are missing, or where something follows them.
    """
    if header.dtype.hasobject:
        raise BadArray("holds pickled objects, not numbers")
    flat = np.empty(math.prod(header.shape), header.dtype)
    memory = flat.view(np.uint8).data
    filled = 0
    while filled < len(memory) and (got := file.readinto(memory[filled:])):
        filled += got
    if filled < len(memory):
        raise BadArray(f"truncated .npy file: {filled} of {len(memory)} bytes of values are there")
    if file.read(1):
        raise BadArray(f"damaged .npy file: more bytes in it than the {len(memory)} of its values")
    if hasher is not None:
        hasher.update(header.raw)
        hasher.update(memory)
    return flat.reshape(header.shape[::-1]).T if header.fortran_order else flat.reshape(header.shape)


def header_of(path: Path | str) -> Header:
    """The header of a file. ``BadArray``, ``OSError``, or ``UserError`` for what is no plain file."""
    with open_plain(path) as file:
        return read_header(file)


def open_mapped(path: Path | str, mode: Literal["r", "r+"] = "r") -> np.memmap:
    """The values of a file in C order, mapped into memory. ``BadArray`` where the file's length is not as promised."""
    header = header_of(path)
    there = Path(path).stat().st_size - len(header.raw)
    if header.fortran_order or header.dtype.hasobject or there != header.nbytes:
        raise BadArray(f"damaged .npy file: {there} of {header.nbytes} bytes of values are there")
    return np.memmap(path, header.dtype, mode, len(header.raw), header.shape)


def _parse(text: str) -> tuple[tuple[int, ...], np.dtype, bool]:
    """Shape, dtype and order of a dictionary such as {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }."""
    body, found, at = text.strip(), {}, 1
    while entry := _ENTRY.match(body, at):
        found[entry["key"]], at = entry[entry["key"]], entry.end()
    if not body.startswith("{") or body[at:].strip() != "}" or len(found) != 3 or None in found.values():
        raise BadArray("damaged .npy file: its header makes no sense")
    sizes = [size.strip() for size in found["shape"].split(",")]
    if not all(size.isdecimal() for size in sizes[:-1]) or not (sizes[-1] == "" or sizes[-1].isdecimal()):
        raise BadArray("damaged .npy file: its shape makes no sense")
    try:
        return tuple(int(size) for size in sizes if size), np.dtype(found["descr"]), found["fortran_order"] == "True"
    except (TypeError, ValueError) as error:
        raise BadArray(f"damaged .npy file: {error}") from None
