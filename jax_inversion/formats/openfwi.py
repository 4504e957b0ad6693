"""OpenFWI's shards: .npy files of gathers (n, shot, time, receiver) and of models (n, 1, depth, x) in m/s.

Deng et al. (2021), arXiv:2111.02926; the pairs of names are those of the split files in github.com/lanl/OpenFWI:
data/data1.npy and model/model1.npy in the Vel and Style families, seis2_1_0.npy and vel2_1_0.npy in the Fault family.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import write_aside
from ..survey import Survey
from .shipment import M_S_PER_KM_S, Pair, Shipment, mapped, one_shape, row_ids

# Numbers of dataset_config.json in lanl/OpenFWI: dx, n_grid, nt, dt, f, ns, ng, sz, gz. The sources are spread evenly
# over the width and stand on the nearest cell; depth 10 m is the second row of cells. See configs/openfwi.toml.
OPENFWI = Survey(
    nx=70,
    nz=70,
    spacing_m=10.0,
    nt=1000,
    dt_s=1e-3,
    source_x_m=(0.0, 170.0, 340.0, 520.0, 690.0),
    source_z_m=10.0,
    receiver_x_m=tuple(10.0 * k for k in range(70)),
    receiver_z_m=10.0,
)
_PARTNERS = {"data": "model", "seis": "vel"}
_GATHERS = re.compile(r"(data|seis)(\d[\d_]*)\.npy")


def open_shards(paths: Sequence[Path], velocity: bool = True) -> Shipment:
    """The samples in shards of gathers, or in all of those below a folder; models from the shards that go with them.

    Nothing but headers is read, until a sample is; it comes through a map of the file. ``UserError``: a file that is
    missing, damaged or not such a shard; a shard of models that is missing, with ``velocity``, or of another length.
    """
    shards = [shard for path in paths for shard in _shards_at(path)]
    ids: list[str] = []
    rows: list[tuple[Path, Path | None, int]] = []
    gathers, models = {}, {}
    for shard in shards:
        count, *gathers[shard] = _shape(shard, "(sample, shot, time, receiver)")
        partner = _partner(shard) if velocity else None
        if partner is not None:
            others, one, *models[partner] = _shape(partner, "(sample, 1, depth, x)")
            if (others, one) != (count, 1):
                raise UserError(
                    f"{partner}: shape is {(others, one, *models[partner])}; {shard} has {count} samples, so right is "
                    f"({count}, 1, depth, x)"
                )
        ids += row_ids(shard.stem, count)
        rows += [(shard, partner, k) for k in range(count)]

    def read(number: int) -> Pair:
        shard, partner, row = rows[number]
        recorded = np.asarray(mapped(shard)[row], np.float32)
        if partner is None:
            return Pair(recorded, None)
        model = np.asarray(mapped(partner)[row, 0], np.float32)
        return Pair(recorded, np.ascontiguousarray(model.T) / np.float32(M_S_PER_KM_S))

    shape = one_shape({path: tuple(shape) for path, shape in gathers.items()})
    depth_x = one_shape({path: tuple(shape) for path, shape in models.items()}) if models else None
    return Shipment(tuple(ids), shape, depth_x and depth_x[::-1], read, {})


def write_shard(path: Path, rows: Iterator[np.ndarray], count: int) -> None:
    """Write ``count`` arrays of one shape, one after the other, as one float32 .npy file, whole or not at all."""
    with write_aside(path) as aside, aside.open("wb") as file:
        for k, row in enumerate(rows):
            if not k:
                header = {"descr": "<f4", "fortran_order": False, "shape": (count, *row.shape)}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(row, "<f4").data)


def as_stored(velocity: np.ndarray) -> np.ndarray:
    """A model (x, depth) in km/s as a shard has it: (1, depth, x) in m/s."""
    return (np.asarray(velocity).T * M_S_PER_KM_S)[None]


def _shards_at(path: Path) -> list[Path]:
    if path.is_dir():
        found = [p for p in path.rglob("*.npy") if _GATHERS.fullmatch(p.name)]
        if not found:
            raise UserError(f"{path}: no shards below it; they are called data1.npy or seis2_1_0.npy")
        return sorted(found, key=lambda p: (p.parent, [int(n) for n in re.findall(r"\d+", p.stem)]))
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    if not _GATHERS.fullmatch(path.name):
        raise UserError(f"{path}: not the name of a shard of gathers; they are called data1.npy or seis2_1_0.npy")
    return [path]


def _partner(shard: Path) -> Path:
    """The shard of models: beside that of the gathers, or in model/ beside its folder."""
    kind = next(kind for kind in _PARTNERS if shard.name.startswith(kind))
    name = _PARTNERS[kind] + shard.name.removeprefix(kind)
    for path in (shard.with_name(name), shard.parent.parent / "model" / name):
        if path.exists():
            return path
    raise UserError(f"{shard}: no {name} beside it or in ../model; --no-truth takes gathers without models")


def _shape(path: Path, meant: str) -> tuple[int, ...]:
    shape = mapped(path).shape
    if len(shape) != 4 or not all(shape):
        raise UserError(f"{path}: shape is {shape}; right is {meant}")
    return shape
