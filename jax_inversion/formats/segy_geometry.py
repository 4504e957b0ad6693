"""From trace headers to a survey's geometry, or a sentence that says which header is wrong.

SEG-Y rev. 1 (Norris and Faichney 2002, SEG): coordinates are divided by -SourceGroupScalar, or multiplied by a positive
one; elevations have a scalar of their own and point upwards; times are in ms, the sample interval in microseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int

from ..errors import UserError

# Names of segyio.TraceField: one number a trace of each
FIELDS = (
    "FieldRecord", "SourceX", "SourceY", "GroupX", "GroupY", "SourceGroupScalar", "CoordinateUnits", "SourceDepth",
    "SourceSurfaceElevation", "ReceiverGroupElevation", "ElevationScalar", "DelayRecordingTime", "ScalarTraceHeader",
    "TRACE_SAMPLE_INTERVAL", "TRACE_SAMPLE_COUNT", "TraceIdentificationCode", "CDP_X",
)  # fmt: skip
Headers: TypeAlias = Mapping[str, Int[np.ndarray, " trace"]]
_NO_DATA = {2: "dead", 3: "a dummy", **dict.fromkeys(range(4, 10), "auxiliary")}  # by TraceIdentificationCode
_FACTORS = (0, 1, 10, 100, 1000, 10000)  # that a scalar may have
_SAME_M = 0.01  # positions this near are one: headers hold whole centimetres at best


@dataclass(frozen=True)
class Recording:
    """Where the traces of one sample belong. ``traces``: the trace of each shot (by x) and receiver (by x).

    ``skip``: samples before the shot, to be cut off each trace. ``geometry``: fields of a ``Survey``, besides ``nt``.
    """

    traces: Int[np.ndarray, "shot receiver"]
    skip: int
    geometry: dict[str, Any]


def recording(headers: Headers, file_interval_us: int, origin_m: float = 0.0) -> Recording:
    """Shots told apart by FieldRecord, or by SourceX where that is not filled in; x is counted from ``origin_m``.

    ``UserError``, without the file's name: which header is missing or odd, and in which shot.
    """
    _refuse_no_data(headers["TraceIdentificationCode"])
    dt_s = interval_us(headers, file_interval_us) / 1e6
    source_x_m, receiver_x_m = positions_m(headers, "Source"), positions_m(headers, "Group")
    shots = _shots(headers, source_x_m)
    for trace in shots:
        if np.ptp(source_x_m[trace]) > _SAME_M:
            shot = headers["FieldRecord"][trace[0]]
            raise UserError(f"SourceX differs within FieldRecord {shot}; right is one source a shot")
    if len(shots) > 1 and not source_x_m.any():
        raise UserError(f"SourceX is 0 in all {len(shots)} shots: coordinates are missing")
    shots = sorted(shots, key=lambda trace: source_x_m[trace[0]])
    ordered = [trace[np.argsort(receiver_x_m[trace], kind="stable")] for trace in shots]
    spread_m = receiver_x_m[ordered[0]]
    for number, trace in enumerate(ordered, 1):
        where = f"shot {number} (x = {source_x_m[trace[0]]:g} m)"
        if len(trace) != len(spread_m):
            raise UserError(f"{where} has {len(trace)} traces, the first {len(spread_m)}; right is one spread for all")
        if len(trace) > 1 and np.diff(receiver_x_m[trace]).min() <= _SAME_M:
            missing = not receiver_x_m.any()
            raise UserError(f"{where} has two traces at one GroupX" + (": coordinates are missing" * missing))
        if np.abs(receiver_x_m[trace] - spread_m).max() > _SAME_M:
            raise UserError(f"{where} has its receivers elsewhere than the first; right is one spread for all shots")
    geometry = {
        "dt_s": dt_s,
        "source_x_m": tuple(round(float(source_x_m[trace[0]]) - origin_m, 3) for trace in ordered),
        "receiver_x_m": tuple(round(float(x_m) - origin_m, 3) for x_m in spread_m),
        "source_z_m": _depth_m(headers, "SourceDepth", "SourceSurfaceElevation"),
        "receiver_z_m": _depth_m(headers, None, "ReceiverGroupElevation"),
    }
    return Recording(np.stack(ordered), _skip(headers, dt_s), geometry)


def interval_us(headers: Headers, file_interval_us: int) -> float:
    """The one sample interval: the traces', or the file's where they say nothing."""
    found = np.unique(headers["TRACE_SAMPLE_INTERVAL"])
    if len(found) > 1:
        raise UserError(f"the sample interval differs between traces: {found[0]} to {found[-1]} us")
    trace_us, file_us = int(found[0]), int(file_interval_us)
    if max(trace_us, file_us) <= 0:
        raise UserError("the sample interval is 0 in the headers of the file and of its traces")
    if trace_us > 0 and file_us > 0 and trace_us != file_us:
        raise UserError(f"the sample interval is {trace_us} us in the traces' headers and {file_us} us in the file's")
    return float(trace_us if trace_us > 0 else file_us)


def positions_m(headers: Headers, what: str) -> Float[np.ndarray, " trace"]:
    """x of every trace's source or receiver group; ``UserError`` for what is not metres along a straight line."""
    if (headers["CoordinateUnits"] > 1).any():
        raise UserError("CoordinateUnits are angles; right are metres (1)")
    factor = scale(headers["SourceGroupScalar"])
    off_m = np.ptp(headers[f"{what}Y"] * factor)
    if off_m > 1.0:
        raise UserError(f"{what}Y varies by {off_m:g} m; right is a straight line along x: project it first")
    return headers[f"{what}X"] * factor


def scale(scalars: Int[np.ndarray, " trace"]) -> Float[np.ndarray, " trace"]:
    """What to multiply by: a negative scalar divides, 0 is 1. ``UserError`` for one that the standard lacks."""
    if len(odd := np.setdiff1d(np.abs(scalars), _FACTORS)):
        raise UserError(f"a scalar of coordinates, elevations or times is {odd[0]}; right are powers of 10 to 10000")
    scalars = np.asarray(scalars, np.float64)
    return np.where(scalars < 0, 1 / np.maximum(-scalars, 1), np.where(scalars > 0, scalars, 1.0))


def _refuse_no_data(codes: Int[np.ndarray, " trace"]) -> None:
    """A trace that holds no recording would pass for one that was silent."""
    odd = np.flatnonzero(np.isin(codes, list(_NO_DATA)))
    if len(odd):
        code = int(codes[odd[0]])
        what = f"trace {odd[0] + 1} is {_NO_DATA[code]} (TraceIdentificationCode {code})"
        raise UserError(f"{what}, {len(odd)} of {len(codes)} hold no data; right is a recording of each receiver")


def _shots(headers: Headers, source_x_m: Float[np.ndarray, " trace"]) -> list[np.ndarray]:
    record = headers["FieldRecord"]
    key = record if len(np.unique(record)) > 1 else np.round(source_x_m / _SAME_M).astype(np.int64)
    return [np.flatnonzero(key == one) for one in np.unique(key)]


def _depth_m(headers: Headers, depth: str | None, elevation: str) -> float:
    """One depth below zero elevation for all traces."""
    factor = scale(headers["ElevationScalar"])
    below = headers[depth] if depth else np.zeros(len(factor))
    depths_m = (below - headers[elevation]) * factor
    if np.ptp(depths_m) > 1.0:
        names = f"{depth} and {elevation}" if depth else elevation
        raise UserError(f"{names} give depths from {depths_m.min():g} to {depths_m.max():g} m; right is one depth")
    return round(float(np.median(depths_m)), 3)


def _skip(headers: Headers, dt_s: float) -> int:
    """Rows before time zero. Recording that starts later than the shot would leave a gap, which nobody can fill."""
    delays_ms = headers["DelayRecordingTime"] * scale(headers["ScalarTraceHeader"])
    if np.ptp(delays_ms):
        raise UserError(f"DelayRecordingTime differs between traces: {delays_ms.min():g} to {delays_ms.max():g} ms")
    rows = -float(delays_ms[0]) / 1e3 / dt_s
    if rows < 0:
        raise UserError(f"recording starts {delays_ms[0]:g} ms after the shot (DelayRecordingTime); right is at it")
    if abs(rows - round(rows)) > 1e-6:
        raise UserError(f"DelayRecordingTime {delays_ms[0]:g} ms is not a whole number of samples of {1e3 * dt_s:g} ms")
    return round(rows)
