"""Samples, or models alone, written in other people's formats, file by file, each whole or not at all."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import UserError
from ..files import write_aside
from ..progress import Progress
from ..survey import Survey
from . import openfwi, segy

SHARD = 500  # samples in one of OpenFWI's


@dataclass(frozen=True)
class Stock:
    """Samples by id: gathers (shot, time, receiver) and models (x, depth) in km/s, None where they have none."""

    ids: tuple[str, ...]
    gathers: Callable[[str], np.ndarray] | None
    velocity: Callable[[str], np.ndarray] | None


def export(stock: Stock, out: Path, kind: Literal["segy", "openfwi"], survey: Survey, shard: int = SHARD) -> list[Path]:
    """Write all samples below ``out`` and return the files. Those that are there are replaced.

    SEG-Y: <id>.sgy and <id>_velocity.sgy. OpenFWI: data1.npy and model1.npy of ``shard`` samples each, and samples1.txt
    with their ids, line by line. ``UserError``: an id that is no file's name, or what a reader finds wrong.
    """
    if odd := next((name for name in stock.ids if Path(name).name != name or name.startswith(".")), None):
        raise UserError(f"sample {odd!r}: not a name for a file")
    if shard < 1:
        raise UserError(f"--shard is {shard}; right is at least 1")
    with Progress(len(stock.ids), "converting") as progress:
        return _to_segy(stock, out, survey, progress) if kind == "segy" else _to_openfwi(stock, out, shard, progress)


def _to_segy(stock: Stock, out: Path, survey: Survey, progress: Progress) -> list[Path]:
    files = []
    for name in stock.ids:
        if stock.gathers is not None:
            files.append(out / f"{name}.sgy")
            segy.write_gathers(files[-1], survey, stock.gathers(name))
        if stock.velocity is not None:
            files.append(out / f"{name}_velocity.sgy")
            segy.write_velocity(files[-1], survey, stock.velocity(name))
        progress.update()
    return files


def _to_openfwi(stock: Stock, out: Path, shard: int, progress: Progress) -> list[Path]:
    files = []
    for number, first in enumerate(range(0, len(stock.ids), shard), 1):
        names = stock.ids[first : first + shard]
        if stock.gathers is not None:
            files.append(out / f"data{number}.npy")
            openfwi.write_shard(files[-1], map(stock.gathers, names), len(names))
        if stock.velocity is not None:
            files.append(out / f"model{number}.npy")
            openfwi.write_shard(files[-1], map(openfwi.as_stored, map(stock.velocity, names)), len(names))
        files.append(out / f"samples{number}.txt")
        with write_aside(files[-1]) as aside:
            aside.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        progress.update(len(names))
    return files
