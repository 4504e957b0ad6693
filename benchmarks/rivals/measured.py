"""What every propagator of the simulator benchmark shares: samples, the model on a coarser grid, timing, error, JSON.

Each propagator runs in a process of its own, started by ``benchmarks/simulate.py``, so that its peak memory is its own.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jax_inversion.data.folders import MODEL_FILE, gather_files
from jax_inversion.survey import CHALLENGE

LATE_S = 0.35  # from here on the damping layer's own reflections are a good part of the data


@dataclass(frozen=True)
class Sample:
    """A velocity model (x, depth) of 1 m cells in km/s and the gathers (shot, time, receiver) Devito made of it."""

    velocity: np.ndarray
    gathers: np.ndarray
    dt_s: float


def read_sample(path: Path) -> Sample:
    """A folder in the challenge's layout, or one of the small files that ``make_test_data.py`` writes."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as small:
            velocity = np.cumsum(small["velocity_steps"], axis=0, dtype=np.uint16) * np.float32(1e-4)
            return Sample(velocity, small["gathers"], float(small["dt_s"]))
    gathers = np.stack([np.load(path / name, allow_pickle=False) for name in gather_files(CHALLENGE)])
    velocity = np.load(path / MODEL_FILE, allow_pickle=False).astype(np.float32)
    return Sample(velocity, gathers, CHALLENGE.dt_s)


def coarse_velocity(velocity: np.ndarray, cells: float) -> np.ndarray:
    """Velocity (x, depth) whose 1/v^2 averages 1/v^2 over ``cells`` x ``cells`` cells; edges replicated to fill up."""
    k = round(cells)
    if k == 1:
        return velocity
    m = np.pad(1.0 / np.square(velocity, dtype=np.float64), [(0, -n % k) for n in velocity.shape], mode="edge")
    return (1 / np.sqrt(m.reshape(m.shape[0] // k, k, m.shape[1] // k, k).mean((1, 3)))).astype(np.float32)


def ricker(dt_s: float, nt: int, peak_hz: float = CHALLENGE.peak_hz) -> np.ndarray:
    """The challenge's source: (1 - 2 r^2) exp(-r^2), r = pi f (t - 1/f), at t = 0, dt, ..."""
    r2 = np.square(np.pi * peak_hz * (np.arange(nt) * dt_s - 1.0 / peak_hz))
    return ((1 - 2 * r2) * np.exp(-r2)).astype(np.float32)


def relative_error(gathers: np.ndarray, dt_s: float, sample: Sample, start_s: float = 0.0) -> float:
    """Relative L2 error from ``start_s`` on, at the times that both have."""
    common_s = max(dt_s, sample.dt_s)
    mine, true = (
        g[:, int(np.ceil(start_s / common_s)) * step :: step].astype(np.float64)
        for g, step in ((gathers, round(common_s / dt_s)), (sample.gathers, round(common_s / sample.dt_s)))
    )
    return float(np.linalg.norm(mine - true) / np.linalg.norm(true))


def arguments(description: str) -> argparse.ArgumentParser:
    """The options that every propagator understands."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--samples", type=Path, nargs="+", required=True, help="sample folders or .npz files, one run each"
    )
    parser.add_argument("--repeats", type=int, default=1, help="runs over all samples; the median run counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--spacing-m", type=float, default=5.0)
    parser.add_argument("--step-s", type=float, default=5e-4)
    parser.add_argument("--order", type=int, default=8, help="order in space")
    return parser


def measure(
    run: Callable[[Sample], np.ndarray],
    args: argparse.Namespace,
    *,
    compile_s: float,
    dt_s: float,
    cells: int,
    steps: int | None,
    gradient: bool = False,
    share: float = 1.0,
    batch: int = 1,
    version: str = "",
) -> None:
    """Time ``run`` over the samples and print one line of JSON.

    ``run`` returns gathers every ``dt_s``, which are compared with the reference, or a gradient, which is not. It
    handles ``batch`` copies of the sample at once and makes ``share`` of the time steps: seconds are those of one whole
    sample, scaled up where the share is below one. ``steps`` counts those of a whole run; None when that is not known.
    """
    samples = [read_sample(path) for path in args.samples]
    seconds, errors, late = [], [], []
    for repeat in range(args.repeats):
        for sample in samples:
            started = time.perf_counter()
            result = run(sample)
            seconds.append((time.perf_counter() - started) / share / batch)
            if not np.all(np.isfinite(result)):
                raise SystemExit("the result has NaN or infinite values")
            if repeat == 0 and not gradient and share == 1.0:
                errors.append(relative_error(result, dt_s, sample))
                late.append(relative_error(result, dt_s, sample, LATE_S))
    median = statistics.median(seconds)
    found = {
        "seconds": median,
        "all_seconds": seconds,
        "compile_s": compile_s,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "cells": cells,
        "updates_per_s": cells * steps * CHALLENGE.shots / median if steps else None,
        "error": max(errors, default=None),
        "late_error": max(late, default=None),
        "extrapolated": share < 1.0,
        "version": version,
    }
    print(json.dumps(found), flush=True)
