"""The packed store: every sample checked once, decimated and laid in two memory-mapped arrays.

It is built aside and renamed, so a kill leaves the old store or none. It is used again as long as its arrays have the
checksums that they were written with, and it is made from what is asked for: survey, preprocessing and the bytes of
the samples' files.
"""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, runtime_checkable

import numpy as np

from .. import npy
from ..errors import UserError
from ..files import digest, digest_json, need_space, recover, write_aside
from ..progress import in_threads
from ..survey import Survey
from .amplitudes import FAR, odd_amplitudes
from .contents import sample_digest, sources_digest
from .folders import BadSample, Sample, read_sample, refuse_odd
from .preprocess import decimate

_LAYOUT = 2  # of the folder; a store of another layout is built anew
_GATHERS, _VELOCITIES, _META = "gathers.npy", "velocities.npy", "store.json"
_log = logging.getLogger(__name__)


@runtime_checkable
class Decimation(Protocol):
    """The settings that a store depends on, as ``decimate`` takes them."""

    @property
    def dt_s(self) -> float: ...
    @property
    def low_cut_hz(self) -> float: ...
    @property
    def high_cut_hz(self) -> float: ...


@dataclass(frozen=True, eq=False)
class Store:
    """Samples, row by row. ``gathers`` (sample, shot, time, receiver) are decimated, not normalised.

    ``velocities`` (sample, x, depth) are in km/s. ``survey`` has the decimated time axis. ``std`` is the standard
    deviation of the amplitudes of all samples whose level is near the others'. Both arrays are float32 and
    memory-mapped, read only. ``made_from`` is plain values.
    """

    ids: tuple[str, ...]
    gathers: np.ndarray
    velocities: np.ndarray | None
    survey: Survey
    std: float
    made_from: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def fingerprint(self) -> str:
        """The same for stores that are made from the same only."""
        return digest_json(self.made_from)


@dataclass(frozen=True)
class _Row:
    """What reading one sample into its row gave: sums over its amplitudes, or what is wrong with it."""

    digest: str
    total: float = 0.0
    squares: float = 0.0
    bad: BadSample | None = None


def pack(
    samples: Sequence[Sample],
    survey: Survey,
    folder: Path | str,
    settings: Decimation,
    *,
    velocities: bool = True,
    skip_bad: bool = False,
    hint: str = "",
) -> Store:
    """The store of ``samples`` in ``folder``, built if it is not there, is damaged or is not of these and ``settings``.

    Every sample is checked while it is read; one ``UserError`` lists all bad ones, unless ``skip_bad`` leaves them out.
    ``hint``: what the user would write for that. ``RunError``, before the work, where the disk has no room.
    """
    if not samples:
        raise UserError("no samples to pack")
    folder, decimated = Path(folder), survey.with_interval(settings.dt_s)
    asked = _asked(samples, survey, settings, velocities)
    recover(folder)
    store = _reuse(folder, asked, samples, survey, skip_bad)
    if store is not None:
        return store
    shapes = {_GATHERS: (len(samples), *decimated.gathers_shape)}
    if velocities:
        shapes[_VELOCITIES] = (len(samples), *survey.model_shape)
    need_space(folder, sum(4 * int(np.prod(shape)) for shape in shapes.values()))
    with write_aside(folder) as aside:
        aside.mkdir()
        gathers, *models = [_create(aside / name, shape) for name, shape in shapes.items()]

        def fill(row: int) -> _Row:
            def prepare(raw: np.ndarray) -> np.ndarray:
                return decimate(raw, survey.dt_s, settings.dt_s, settings.low_cut_hz, settings.high_cut_hz)

            return _fill(samples[row], survey, prepare, gathers[row], models[0][row] if models else None)

        rows = list(in_threads(fill, range(len(samples)), f"packing {folder.name}"))
        size = int(np.prod(decimated.gathers_shape))
        left_out = refuse_odd(samples, [row.bad or (row.squares / size) ** 0.5 for row in rows], skip_bad, hint)
        good = [row for row in range(len(samples)) if row not in left_out]
        for array in (gathers, *models):
            array.flush()
        del gathers, models
        for name in shapes:
            _keep_rows(aside / name, good, len(samples))
        contents = {sample.id: row.digest for sample, row in zip(samples, rows, strict=True)}
        meta = {
            "made_from": _made_from(asked, contents, [samples[row].id for row in sorted(left_out)]),
            "ids": [samples[row].id for row in good],
            "std": _std([samples[row].id for row in good], [rows[row] for row in good], size),
            "sha256": {name: digest(aside / name) for name in shapes},
        }
        (aside / _META).write_text(json.dumps(meta | {"checksum": digest_json(meta)}, indent=1))
    return _open(folder, meta, survey)


def _fill(sample: Sample, survey: Survey, prepare: Callable, gathers: np.ndarray, velocity: np.ndarray | None) -> _Row:
    """Read one sample into its rows, each of its files once."""
    digests: dict[str, str] = {}
    wanted = velocity is not None
    try:
        raw, model = read_sample(sample, survey, wanted, digests)
        gathers[:] = prepare(raw)
        if wanted:
            velocity[:] = model
    except BadSample as bad:
        return _Row(sample_digest(sample, survey, wanted, digests), bad=bad)
    sums = float(np.sum(gathers, dtype=np.float64)), float(np.sum(np.square(gathers, dtype=np.float64)))
    return _Row(sample_digest(sample, survey, wanted, digests), *sums)


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


def _keep_rows(path: Path, rows: Sequence[int], count: int) -> None:
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


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})


def _std(ids: Sequence[str], rows: Sequence[_Row], size: int) -> float:
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


def _asked(samples: Sequence[Sample], survey: Survey, settings: Decimation, velocities: bool) -> dict[str, Any]:
    """What a store is to be made from, all but the contents of files: plain values, as JSON has them."""
    preprocess = {name: float(getattr(settings, name)) for name in ("dt_s", "low_cut_hz", "high_cut_hz")}
    asked = {"layout": _LAYOUT, "survey": survey.as_dict(), "preprocess": preprocess, "velocities": velocities}
    return json.loads(json.dumps(asked | {"samples": len(samples)}))


def _made_from(asked: dict[str, Any], contents: dict[str, str], left_out: list[str]) -> dict[str, Any]:
    return asked | {"contents": digest_json(contents), "left_out": left_out}


def _reuse(
    folder: Path, asked: dict[str, Any], samples: Sequence[Sample], survey: Survey, skip_bad: bool
) -> Store | None:
    """The store that is there, if it is whole and made from what is asked for."""
    if not folder.exists():
        return None
    try:
        meta = _whole(folder)
        made_from, left_out = meta["made_from"], meta["made_from"]["left_out"]
        if asked == {key: made_from[key] for key in asked} and (skip_bad or not left_out):
            contents = sources_digest(samples, survey, asked["velocities"])
            if made_from == _made_from(asked, contents, left_out):
                bad = f" ({len(left_out)} bad ones left out)" if left_out else ""
                _log.info("%s: reusing the store of %d samples%s", folder, len(meta["ids"]), bad)
                return _open(folder, meta, survey)
        _log.info("%s: the samples or the preprocessing changed; packing anew", folder)
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        _log.warning("%s: not a whole store (%s); packing anew", folder, error)
    return None


def _whole(folder: Path) -> dict[str, Any]:
    """The description of a store whose bytes are those that were written. ``ValueError`` names the damaged file."""
    meta = json.loads((folder / _META).read_text())
    checksum = meta.pop("checksum")
    if digest_json(meta) != checksum:
        raise ValueError(f"{_META} is damaged")
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda name: digest(folder / name), meta["sha256"])
        for (name, right), digested in zip(meta["sha256"].items(), found, strict=True):
            if digested != right:
                raise ValueError(f"{name} is damaged")
    return meta


def _open(folder: Path, meta: dict[str, Any], survey: Survey) -> Store:
    velocities = npy.open_mapped(folder / _VELOCITIES) if _VELOCITIES in meta["sha256"] else None
    gathers = npy.open_mapped(folder / _GATHERS)
    decimated = survey.with_interval(meta["made_from"]["preprocess"]["dt_s"])
    return Store(tuple(meta["ids"]), gathers, velocities, decimated, float(meta["std"]), meta["made_from"])
