"""The packed store: every sample checked once, decimated and laid in two memory-mapped arrays.

It is built aside and renamed, so a kill leaves the old store or none, and it is used again as long as the survey, the
preprocessing and the samples' files (sizes and times of change) are what they were.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from ..errors import UserError
from ..files import write_aside
from ..progress import track
from ..survey import Survey
from .folders import MODEL_FILE, BadSample, Sample, gather_files, read_gathers, read_velocity, refuse_bad
from .preprocess import decimate

_LAYOUT = 1  # of the folder; a store of another layout is built anew
_GATHERS, _VELOCITIES, _META = "gathers.npy", "velocities.npy", "store.json"


@dataclass(frozen=True, eq=False)
class Store:
    """Samples, row by row. ``gathers`` (sample, shot, time, receiver) are decimated, not normalised.

    ``velocities`` (sample, x, depth) are in km/s. ``survey`` has the decimated time axis. ``std`` is the standard
    deviation of all amplitudes. Both arrays are float32 and memory-mapped, read only.
    """

    ids: tuple[str, ...]
    gathers: np.ndarray
    velocities: np.ndarray | None
    survey: Survey
    std: float

    def __len__(self) -> int:
        return len(self.ids)


def pack(
    samples: Sequence[Sample],
    survey: Survey,
    folder: Path | str,
    *,
    dt_s: float,
    low_cut_hz: float = 0.0,
    high_cut_hz: float = 0.0,
    velocities: bool = True,
    skip_bad: bool = False,
) -> Store:
    """The store of ``samples`` in ``folder``, built if it is not there or is not of these samples and settings.

    Every sample is checked while it is read; one ``UserError`` lists all bad ones, unless ``skip_bad`` leaves them out.
    """
    folder = Path(folder)
    decimated = survey.with_interval(dt_s)
    settings = [_LAYOUT, survey.as_dict(), dt_s, low_cut_hz, high_cut_hz, velocities]
    fingerprint = _fingerprint(samples, survey, settings)
    store = _reuse(folder, fingerprint, decimated, skip_bad)
    if store is not None:
        return store
    # a killed run may have left gigabytes; a run folder has one owner, so nobody else is building there
    for left in folder.parent.glob(f".{folder.name}.*.partial"):
        shutil.rmtree(left, ignore_errors=True)
    with write_aside(folder) as aside:
        aside.mkdir()
        gathers = _create(aside / _GATHERS, (len(samples), *decimated.gathers_shape))
        models = _create(aside / _VELOCITIES, (len(samples), *survey.model_shape)) if velocities else None

        def fill(row: int) -> BadSample | tuple[float, float]:
            def prepare(raw: np.ndarray) -> np.ndarray:
                return decimate(raw, survey.dt_s, dt_s, low_cut_hz, high_cut_hz)

            return _fill(samples[row], survey, prepare, gathers[row], None if models is None else models[row])

        results = _in_threads(fill, len(samples), f"packing {folder.name}")
        bad = [r for r in results if isinstance(r, BadSample)]
        refuse_bad(bad, len(samples), skip_bad)
        good = [row for row, r in enumerate(results) if not isinstance(r, BadSample)]
        std = _std([results[row] for row in good], decimated)
        if bad:
            _keep_rows(aside / _GATHERS, good)
            if velocities:
                _keep_rows(aside / _VELOCITIES, good)
        ids = [samples[row].id for row in good]
        meta = {"fingerprint": fingerprint, "ids": ids, "std": std, "left_out": len(bad)}
        (aside / _META).write_text(json.dumps(meta))
    return _open(folder, meta, decimated)


def _fill(
    sample: Sample, survey: Survey, prepare: Callable, gathers: np.ndarray, velocity: np.ndarray | None
) -> BadSample | tuple[float, float]:
    """Read one sample into its rows; what is wrong with it, or the sum of its amplitudes and of their squares."""
    faults: list[str] = []
    try:
        gathers[:] = prepare(read_gathers(sample, survey))
    except BadSample as bad:
        faults.extend(bad.faults)
    try:
        if velocity is not None:
            velocity[:] = read_velocity(sample, survey)
    except BadSample as bad:
        faults.extend(bad.faults)
    if faults:
        return BadSample(sample.id, faults)
    return float(np.sum(gathers, dtype=np.float64)), float(np.sum(np.square(gathers, dtype=np.float64)))


def _in_threads(fill: Callable, rows: int, what: str) -> list[BadSample | tuple[float, float]]:
    # reading and filtering release the interpreter's lock, so threads are enough and fork no JAX runtime
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None) as pool:
        return list(track(pool.map(fill, range(rows)), rows, what))


def _create(path: Path, shape: tuple[int, ...]) -> np.memmap:
    return open_memmap(path, mode="w+", dtype=np.float32, shape=shape)


def _keep_rows(path: Path, rows: Sequence[int]) -> None:
    whole = np.load(path, mmap_mode="r", allow_pickle=False)
    with write_aside(path) as aside:
        kept = _create(aside, (len(rows), *whole.shape[1:]))
        for to, row in enumerate(rows):
            kept[to] = whole[row]


def _std(moments: Sequence[tuple[float, float]], survey: Survey) -> float:
    count = len(moments) * survey.shots * survey.nt * survey.receivers
    mean, square = (sum(column) / count for column in zip(*moments, strict=True))
    if square == 0:
        raise UserError(f"the gathers of all {len(moments)} samples are zero everywhere; right are recordings")
    return max(square - mean**2, 0.0) ** 0.5


def _fingerprint(samples: Sequence[Sample], survey: Survey, settings: list) -> str:
    if not samples:
        raise UserError("no samples to pack")
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    names = [*gather_files(survey), *([MODEL_FILE] if settings[-1] else [])]
    for sample in samples:
        digest.update(f"\n{sample.id}".encode())
        for name in names:
            try:
                stat = os.stat(sample.path / name)
                digest.update(f" {stat.st_size} {stat.st_mtime_ns}".encode())
            except OSError:
                digest.update(b" missing")
    return digest.hexdigest()


def _reuse(folder: Path, fingerprint: str, survey: Survey, skip_bad: bool) -> Store | None:
    if not folder.exists():
        return None
    try:
        meta = json.loads((folder / _META).read_text())
        if meta["fingerprint"] == fingerprint and (skip_bad or not meta["left_out"]):
            store = _open(folder, meta, survey)
            left_out = f" ({meta['left_out']} bad ones left out)" if meta["left_out"] else ""
            print(f"{folder}: reusing the store of {len(store)} samples{left_out}", file=sys.stderr)
            return store
        print(f"{folder}: the samples or the preprocessing changed; packing anew", file=sys.stderr)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{folder}: not a readable store ({error}); packing anew", file=sys.stderr)
    return None


def _open(folder: Path, meta: dict, survey: Survey) -> Store:
    gathers = np.load(folder / _GATHERS, mmap_mode="r", allow_pickle=False)
    path = folder / _VELOCITIES
    velocities = np.load(path, mmap_mode="r", allow_pickle=False) if path.exists() else None
    return Store(tuple(meta["ids"]), gathers, velocities, survey, float(meta["std"]))
