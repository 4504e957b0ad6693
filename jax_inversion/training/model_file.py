"""A checkpoint as one small file to send around: all that prediction needs, large arrays in less precision.

An ``.npz`` of plain arrays with its settings as JSON and a SHA-256 of both. What later rooms know of the model's errors
travels with it as ``extras``. ``pretrained`` is the one that comes with the package.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from .. import config as configs
from ..errors import UserError
from ..files import DAMAGED_ZIP, digest_arrays, open_plain, write_aside
from .checkpoints import Restored
from .checkpoints import restore as restore_checkpoint

PRETRAINED = "pretrained"
SHIPPED = Path(__file__).parents[1] / "weights" / f"{PRETRAINED}.npz"
LARGE = 20_000  # values: from here on an array is kept in less precision
_FORMAT = 1
_META, _UNIT = "meta", "__unit"
_GROUPS = ("params", "batch_stats")


def restore(spec: Path | str) -> Restored:
    """Read a checkpoint of a run (see ``checkpoints.restore``), a model file ``*.npz``, or the package's own.

    ``UserError`` where there is none, and where it is damaged or of another version.
    """
    if str(spec) == PRETRAINED:
        if not SHIPPED.is_file():
            raise UserError(f"{PRETRAINED}: this installation came without weights; give a run or a model file")
        return read(SHIPPED)
    path = Path(spec)
    if path.suffix == ".npz":
        return read(path)
    return restore_checkpoint(spec)


def write(path: Path, restored: Restored, extras: Mapping[str, Any], config: configs.Config | None = None) -> None:
    """Keep ``restored`` and the ``extras``, nested arrays by name, in ``path``, whole or not at all.

    ``config``: the settings to keep with them, those of the checkpoint unless given.
    """
    variables = restored.variables
    nested = {group: variables[group] for group in _GROUPS} | {"base": restored.base or {}, "extras": dict(extras)}
    arrays = {"/".join(name): np.asarray(array) for name, array in flatten_dict(nested).items()}
    arrays["logits"] = np.asarray(restored.logits)
    small = _small(arrays)
    meta: dict[str, Any] = {
        "format": _FORMAT,
        "config": configs.as_dict(_portable(config or restored.config)),
        "survey": restored.survey.as_dict(),
        "std": restored.std,
        "step": restored.step,
        "per_epoch": restored.per_epoch,
        "metrics": dict(restored.metrics),
        "made_from": restored.fingerprint,
    }
    meta["sha256"] = digest_arrays(meta, small)
    contents: dict[str, Any] = {**small, _META: np.frombuffer(json.dumps(meta).encode(), np.uint8)}
    with write_aside(path) as aside, aside.open("wb") as file:
        np.savez_compressed(file, **contents)


def read(path: Path) -> Restored:
    """The checkpoint in ``path``; its run, where products go, is runs/<name of the file> in the working folder."""
    try:
        with open_plain(path) as opened, np.load(opened, allow_pickle=False) as file:
            meta: dict[str, Any] = json.loads(file[_META].tobytes())
            contents = {name: file[name] for name in file.files if name != _META}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; right is a model file that `export` wrote, or a run") from None
    except (*DAMAGED_ZIP, OSError, KeyError) as error:
        raise UserError(f"{path}: not a whole model file ({error}); `export` writes one") from None
    if meta.get("format") != _FORMAT:
        raise UserError(f"{path}: a model file of format {meta.get('format')!r}, this version reads {_FORMAT}")
    seal = meta.pop("sha256", None)
    if seal != digest_arrays(meta, contents):
        raise UserError(f"{path}: damaged, its contents do not match their checksum; fetch or export it again")
    nested = unflatten_dict({tuple(name.split("/")): array for name, array in _large(contents).items()})
    extras = nested.get("extras", {})
    return Restored(
        path=path,
        run=Path("runs") / path.stem,
        name=path.stem,
        names=(path.stem,),
        fingerprint=seal,
        config=configs.from_dict(meta["config"], str(path)),
        survey=configs.from_dict({"survey": meta["survey"]}, str(path)).survey,
        std=meta["std"],
        step=meta["step"],
        per_epoch=meta["per_epoch"],
        metrics=meta["metrics"],
        params=nested["params"],
        batch_stats=nested.get("batch_stats") or {name: {} for name in nested["params"]},
        logits=nested["logits"],
        ema=None,
        base=nested.get("base") or None,
        extras=extras,
    )


def _portable(config: configs.Config) -> configs.Config:
    """Without the place of the training data."""
    return dataclasses.replace(config, data=dataclasses.replace(config.data, root=""))


def _small(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One step less precise where they are large: float32 in half precision; what a regression keeps in that already,
    its basis and patterns, as bytes beside their unit, a hundredth of each column's or pattern's largest value. (As
    bytes the regression's points cost a quarter of the accuracy.)
    """
    found = {}
    for name, array in arrays.items():
        if array.size < LARGE or array.dtype not in (np.float32, np.float16):
            found[name] = array
        elif array.dtype == np.float16:
            array = array.astype(np.float32)
            unit = np.abs(array).max(0 if array.ndim == 2 else tuple(range(1, array.ndim)), keepdims=True) / 127
            unit = np.where(unit > 0, unit, 1).astype(np.float32)
            found[name], found[name + _UNIT] = np.round(array / unit).astype(np.int8), unit
        else:
            fits = np.abs(array).max() < np.finfo(np.float16).max
            found[name] = array.astype(np.float16) if fits else array
    return found


def _large(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inverse of ``_small``, to its precision: all of the type that they had, so that it can be repeated."""
    found = {}
    for name, array in arrays.items():
        if name + _UNIT in arrays:
            found[name] = (array * arrays[name + _UNIT]).astype(np.float16)
        elif not name.endswith(_UNIT):
            found[name] = array.astype(np.float32) if array.dtype == np.float16 else array
    return found
