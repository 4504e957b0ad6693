"""SEG-Y files as headers and traces: all that this package asks of segyio (extra ``segy``)."""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ..errors import UserError
from ..files import open_plain, write_aside
from .segy_geometry import FIELDS, Headers

SUFFIXES = (".sgy", ".segy")
_FORMAT = slice(3224, 3226)  # bytes with the code of the samples' format
_FORMATS = range(1, 17)
_FEET = 2


def files_at(path: Path) -> list[Path]:
    """The file itself, or all SEG-Y files in a folder."""
    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
    if not found:
        raise UserError(f"{path}: no {' or '.join(SUFFIXES)} files in it")
    return found


def read_headers(files: Sequence[Path]) -> tuple[Headers, int, int]:
    """The headers of all traces, the samples in each, and the interval in the files' own headers.

    ``UserError`` where a file cannot be read, or does not agree with itself or with the first.
    """
    segyio = library()
    parts, sizes = [], []
    for path in files:
        with opened(path) as file:
            fields = {name: np.asarray(file.attributes(getattr(segyio.TraceField, name))[:]) for name in FIELDS}
            sizes.append((len(file.samples), int(file.bin[segyio.BinField.Interval])))
            feet = file.bin[segyio.BinField.MeasurementSystem] == _FEET
        counts = fields["TRACE_SAMPLE_COUNT"].astype(np.int64) & 0xFFFF
        if ((counts != 0) & (counts != sizes[-1][0] & 0xFFFF)).any():
            raise UserError(f"{path}: {sizes[-1][0]} samples a trace in its header, {counts.max()} in its traces'")
        if feet:
            raise UserError(f"{path}: coordinates are in feet (MeasurementSystem 2); right are metres")
        if sizes[-1] != sizes[0]:
            one, other = (f"{samples} samples every {interval} us" for samples, interval in (sizes[-1], sizes[0]))
            raise UserError(f"{path}: {one}; in {files[0]} {other}")
        parts.append(fields)
    return {name: np.concatenate([part[name] for part in parts]).astype(np.int64) for name in FIELDS}, *sizes[0]


def read_traces(path: Path) -> Float[np.ndarray, "trace sample"]:
    """All traces of a file, float32."""
    with opened(path) as file:
        return np.asarray(file.trace.raw[:], np.float32)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A ``segyio.SegyFile`` of either byte order. ``UserError`` where there is none, or not a whole one."""
    try:
        with open_plain(path) as file:
            code = file.read(_FORMAT.stop)[_FORMAT]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    orders = [order for order in ("big", "little") if int.from_bytes(code, order) in _FORMATS]
    if not orders:
        raise UserError(f"{path}: not a SEG-Y file, or a truncated one")
    try:
        file = library().open(path, ignore_geometry=True, endian=orders[0])
    except (RuntimeError, ValueError, OSError, IndexError) as error:
        raise UserError(f"{path}: a damaged or truncated SEG-Y file ({' '.join(str(error).split())})") from None
    with file:
        yield file


@contextmanager
def created(path: Path, traces: int, samples: int, interval: float, text: Sequence[str]) -> Iterator[Any]:
    """A new file of IEEE floats with ``text`` in its header; it appears whole, or not at all."""
    segyio = library()
    spec = segyio.spec()
    spec.format, spec.tracecount, spec.samples = 5, traces, np.arange(samples) * interval
    with write_aside(path) as aside, segyio.create(aside, spec) as file:
        file.text[0] = segyio.tools.create_text_header(dict(enumerate(text, 1)))
        yield file


@functools.cache
def library() -> Any:
    """segyio. ``UserError`` where it is not installed."""
    try:
        import segyio
    except ImportError:
        raise UserError('SEG-Y files need segyio: pip install "jax_inversion[segy]"') from None
    return segyio
