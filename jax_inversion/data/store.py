"""The packed store, filled from folders of samples: each is checked once, decimated and laid in its row.

It is used again as long as its arrays are whole and it is made from what is asked for: survey, preprocessing and the
bytes of the samples' files.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..errors import UserError
from ..files import digest_json, need_space, recover, write_aside
from ..progress import in_threads
from ..survey import Survey
from .contents import sample_digest, sources_digest
from .folders import BadSample, Sample, read_sample, refuse_odd
from .preprocess import decimate
from .rows import GATHERS, VELOCITIES, Store, Sums, close, create, keep_rows, open_whole, scale

_LAYOUT = 2  # of the folder; a store of another layout is built anew
_log = logging.getLogger(__name__)


@runtime_checkable
@runtime_checkable
class Decimation(Protocol):
    """The settings that a store depends on, as ``decimate`` takes them."""

    @property
    def dt_s(self) -> float: ...
    @property
    def low_cut_hz(self) -> float: ...
    @property
    def high_cut_hz(self) -> float: ...


@dataclass(frozen=True)
class _Row:
    """What reading one sample into its row gave: sums over its amplitudes, or what is wrong with it."""

    digest: str
    sums: Sums
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
    shapes: dict[str, tuple[int, ...]] = {GATHERS: (len(samples), *decimated.gathers_shape)}
    if velocities:
        shapes[VELOCITIES] = (len(samples), *survey.model_shape)
    need_space(folder, sum(4 * int(np.prod(shape)) for shape in shapes.values()))
    with write_aside(folder) as aside:
        aside.mkdir()
        arrays = create(aside, shapes)
        gathers, models = arrays[GATHERS], arrays.get(VELOCITIES)

        def fill(row: int) -> _Row:
            def prepare(raw: np.ndarray) -> np.ndarray:
                return decimate(raw, survey.dt_s, settings.dt_s, settings.low_cut_hz, settings.high_cut_hz)

            return _fill(samples[row], survey, prepare, gathers[row], None if models is None else models[row])

        rows = list(in_threads(fill, range(len(samples)), f"packing {folder.name}"))
        size = int(np.prod(decimated.gathers_shape))
        left_out = refuse_odd(samples, [row.bad or (row.sums.squares / size) ** 0.5 for row in rows], skip_bad, hint)
        good = [row for row in range(len(samples)) if row not in left_out]
        for array in arrays.values():
            array.flush()
        del arrays, gathers, models
        for name in shapes:
            keep_rows(aside / name, good, len(samples))
        contents = {sample.id: row.digest for sample, row in zip(samples, rows, strict=True)}
        ids = [samples[row].id for row in good]
        std = scale(ids, [rows[row].sums for row in good], size)
        close(aside, ids, std, _made_from(asked, contents, [samples[row].id for row in sorted(left_out)]))
    return open_whole(folder, decimated)


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
        return _Row(sample_digest(sample, survey, wanted, digests), Sums(0.0, 0.0), bad)
    return _Row(sample_digest(sample, survey, wanted, digests), Sums.of(gathers))


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
        store = open_whole(folder, survey.with_interval(asked["preprocess"]["dt_s"]))
        made_from, left_out = store.made_from, store.made_from["left_out"]
        if asked == {key: made_from[key] for key in asked} and (skip_bad or not left_out):
            contents = sources_digest(samples, survey, asked["velocities"])
            if made_from == _made_from(asked, contents, left_out):
                bad = f" ({len(left_out)} bad ones left out)" if left_out else ""
                _log.info("%s: reusing the store of %d samples%s", folder, len(store), bad)
                return store
        _log.info("%s: the samples or the preprocessing changed; packing anew", folder)
    except (OSError, ValueError, KeyError, TypeError, UserError) as error:
        _log.warning("%s: not a whole store (%s); packing anew", folder, error)
    return None
