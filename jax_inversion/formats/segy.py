"""SEG-Y in and out (extra ``segy``): shot gathers whose geometry is in their headers, and velocity sections.

A velocity section has a trace for each x and a sample for each depth, in m/s. Its sample interval, a field of whole
microseconds elsewhere, holds millimetres of depth (10 m: 10000), as is common; x stands in CDP_X.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Gathers, Velocity
from ..errors import UserError
from ..survey import Survey
from .segy_files import created, files_at, library, read_headers, read_traces
from .segy_geometry import Recording, interval_us, recording, scale
from .shipment import M_S_PER_KM_S, Pair, Shipment

_MOST = 32767  # of a header's two bytes
_MM = 1000.0
_SQUARE_M = 0.01  # how far a cell's sides may differ


def open_segy(paths: Sequence[Path], velocities: Sequence[Path] = (), origin_m: float = 0.0) -> Shipment:
    """One sample a path: the shots in a file, or in all SEG-Y files of a folder; ``velocities`` are their sections.

    x is counted from ``origin_m``, or from where the sections begin (CDP_X). ``UserError`` names the file and what is
    wrong with it: damaged, headers missing or odd, another geometry than the first sample's.
    """
    if velocities and len(velocities) != len(paths):
        raise UserError(f"{len(velocities)} velocity sections for {len(paths)} samples; right is one each, in order")
    geometry: dict[str, Any] = {}
    laid: list[tuple[list[Path], Recording]] = []
    for number, path in enumerate(paths):
        first_x_m, grid = _section(velocities[number]) if velocities else (origin_m, {})
        files = files_at(path)
        headers, nt, file_us = read_headers(files)
        with _naming(path):
            found = recording(headers, file_us, first_x_m)
            if found.skip >= nt:
                raise UserError(f"all of its {nt} samples come before the shot (DelayRecordingTime)")
        for name, value in ({"nt": nt - found.skip} | found.geometry | grid).items():
            if value != geometry.setdefault(name, value):
                raise UserError(f"{path}: {name} is {value}, that of {paths[0]} {geometry[name]}; one survey has one")
        laid.append((files, found))

    def read(number: int) -> Pair:
        files, found = laid[number]
        traces = np.concatenate([read_traces(path) for path in files])
        gathers = np.ascontiguousarray(traces[found.traces, found.skip :].swapaxes(1, 2))
        model = read_traces(velocities[number]) / np.float32(M_S_PER_KM_S) if velocities else None
        return Pair(gathers, model)

    shots, receivers = (len(geometry[name]) for name in ("source_x_m", "receiver_x_m"))
    model_shape = (geometry["nx"], geometry["nz"]) if velocities else None
    return Shipment(
        tuple(path.name if path.is_dir() else path.stem for path in paths),
        (shots, geometry["nt"], receivers),
        model_shape,
        read,
        geometry,
    )


def write_gathers(path: Path, survey: Survey, gathers: Gathers) -> None:
    """Gathers (shot, time, receiver): a FieldRecord a shot; positions and depths in whole millimetres."""
    interval_us = _whole(survey.dt_s * 1e6, "dt_s", "microseconds")
    shots, nt, receivers = gathers.shape
    field = library().TraceField
    text = ("shot gathers", "x from the centre of the model's first cell, depth from its first row, in mm")
    with created(path, shots * receivers, nt, survey.dt_s * 1e3, text) as file:
        for k, (shot, receiver) in enumerate(np.ndindex(shots, receivers)):
            file.header[k] = {
                field.TRACE_SEQUENCE_FILE: k + 1,
                field.FieldRecord: shot + 1,
                field.TraceNumber: receiver + 1,
                field.TraceIdentificationCode: 1,
                field.offset: round(survey.receiver_x_m[receiver] - survey.source_x_m[shot]),
                field.CoordinateUnits: 1,
                field.SourceGroupScalar: -int(_MM),
                field.ElevationScalar: -int(_MM),
                field.SourceX: round(survey.source_x_m[shot] * _MM),
                field.GroupX: round(survey.receiver_x_m[receiver] * _MM),
                field.SourceDepth: round(survey.source_z_m * _MM),
                field.ReceiverGroupElevation: -round(survey.receiver_z_m * _MM),
                field.TRACE_SAMPLE_COUNT: nt,
                field.TRACE_SAMPLE_INTERVAL: interval_us,
            }
            file.trace[k] = np.ascontiguousarray(gathers[shot, :, receiver], np.float32)


def write_velocity(path: Path, survey: Survey, velocity: Velocity) -> None:
    """A model (x, depth) in km/s as a section in m/s; see above for its sample interval."""
    interval_mm = _whole(survey.spacing_m * _MM, "spacing_m", "millimetres")
    field = library().TraceField
    text = ("velocity in m/s", "a trace each x (CDP_X), a sample each depth; the sample interval is in mm")
    with created(path, len(velocity), velocity.shape[1], survey.spacing_m, text) as file:
        for k, column in enumerate(np.asarray(velocity)):
            file.header[k] = {
                field.TRACE_SEQUENCE_FILE: k + 1,
                field.CDP: k + 1,
                field.TraceIdentificationCode: 1,
                field.CoordinateUnits: 1,
                field.SourceGroupScalar: -int(_MM),
                field.CDP_X: round(k * survey.spacing_m * _MM),
                field.TRACE_SAMPLE_COUNT: len(column),
                field.TRACE_SAMPLE_INTERVAL: interval_mm,
            }
            file.trace[k] = np.ascontiguousarray(column * M_S_PER_KM_S, np.float32)


def _section(path: Path) -> tuple[float, dict[str, Any]]:
    """x of the first trace, and the grid of a velocity section; its cells must be square."""
    headers, nz, file_mm = read_headers([path])
    with _naming(path):
        spacing_m = interval_us(headers, file_mm) / _MM
        x_m = headers["CDP_X"] * scale(headers["SourceGroupScalar"])
        steps_m = np.diff(x_m) if len(x_m) > 1 else np.zeros(1)
        if np.abs(steps_m - spacing_m).max() > _SQUARE_M:
            across = f"traces are {steps_m.min():g} to {steps_m.max():g} m apart (CDP_X)"
            raise UserError(f"{across}, samples {spacing_m:g} m (their interval, in mm); right are square cells")
        if headers["DelayRecordingTime"].any():
            raise UserError("its first sample is not at depth 0 (DelayRecordingTime)")
    return float(x_m[0]), {"nx": len(x_m), "nz": nz, "spacing_m": spacing_m}


def _whole(value: float, name: str, unit: str) -> int:
    if abs(value - round(value)) > 1e-3 or not 1 <= round(value) <= _MOST:
        raise UserError(f"survey.{name} is {value:g} {unit}; a SEG-Y header holds whole ones up to {_MOST}")
    return round(value)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Whose headers a ``UserError`` is about."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
