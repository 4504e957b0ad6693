"""A card's peaks, medians of times on it, and the simulator there: a CPU's results first, then its share of the memory.

As a program, ``python -m benchmarks.card FOLDER``, it simulates FOLDER/velocity.npy into FOLDER/gathers.npy.
"""

import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jax_inversion import backgrounds, geology
from jax_inversion.physics import SimulatorConfig, simulate
from jax_inversion.physics.plan import Plan
from jax_inversion.physics.simulate import prepare
from jax_inversion.survey import CHALLENGE

REPO = Path(__file__).parents[1]
SURVEY = CHALLENGE.with_interval(0.004)
FIELDS = 4  # float32 numbers that a cell update reads and writes: two fields, the slowness, the new field
FURTHEST = 1e-5  # from the CPU, of the largest amplitude

Row = tuple[str, str]


class Peak(NamedTuple):
    """Of dense products, in TFLOP/s, and of memory, in TB/s, as the makers' data sheets have them."""

    tf32: float  # what float32 products are made of
    bf16: float
    memory: float


PEAKS = {
    "H200": Peak(494, 989, 4.8),
    "H100": Peak(494, 989, 3.35),
    "A100": Peak(156, 312, 2.0),
    "L40S": Peak(183, 362, 0.864),
    "A10": Peak(62, 125, 0.6),
}
UNKNOWN = Peak(math.nan, math.nan, math.nan)


def peak_of(kind: str) -> Peak:
    """Of a device, by what it calls itself."""
    return next((peak for name, peak in PEAKS.items() if name in kind), UNKNOWN)


def peak() -> Peak:
    """Of the device here."""
    return peak_of(jax.devices()[0].device_kind)


def percent(share: float) -> str:
    """37 %, or a question mark for that of a device whose peak nobody wrote down."""
    return "? %" if math.isnan(share) else f"{100 * share:.0f} %"


def median_s(call: Callable[[], Any], times: int) -> float:
    """Of a call, after one that compiles."""
    jax.block_until_ready(call())
    seconds = []
    for _ in range(times):
        begun = time.monotonic()
        jax.block_until_ready(call())
        seconds.append(time.monotonic() - begun)
    return statistics.median(seconds)


@cache
def models(count: int) -> jax.Array:
    """Random ones: drawing them is geology's work, not the simulator's, so it is done before."""
    draw = jax.jit(jax.vmap(lambda key: geology.draw(key, CHALLENGE)))
    return jax.block_until_ready(draw(jax.random.split(jax.random.key(0), count)))


def agreement() -> Iterator[Row]:
    """The simulator here against the same program on this machine's CPU; ``ArithmeticError`` where they differ."""
    velocity = np.asarray(models(1)[0])
    here = gathers_of(velocity)
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/velocity.npy", velocity)
        command = [sys.executable, "-m", "benchmarks.card", folder]
        subprocess.run(command, check=True, cwd=REPO, env=os.environ | {"JAX_PLATFORMS": "cpu"})
        there = np.load(f"{folder}/gathers.npy")
    off = float(abs(here - there).max() / abs(there).max())
    yield "largest difference from the CPU, of the largest amplitude", f"{off:.1e}"
    if not off < FURTHEST:
        raise ArithmeticError(f"gathers are {off:.1e} from the CPU's; right is below {FURTHEST:g}")


def gathers_of(velocity: np.ndarray) -> np.ndarray:
    return np.asarray(simulate(velocity, SURVEY, **backgrounds.options(SURVEY, SimulatorConfig(spacing_m=10.0))))


def simulation(spacing_m: float, batches: Sequence[int], times: int) -> Iterator[Row]:
    """Batches of models on cells of ``spacing_m``, small ones first, so that one too large for the card comes last."""
    options = backgrounds.options(SURVEY, SimulatorConfig(spacing_m=spacing_m))
    one = jax.jit(lambda velocity: simulate(velocity, SURVEY, **options))
    plan = plan_of(spacing_m)
    cells = plan.steps * float(np.prod(plan.grid.shape)) * SURVEY.shots
    for count in sorted(batches):
        velocities = models(max(batches))[:count]
        seconds = median_s(lambda velocities=velocities: one(velocities), times)
        share = cells * count / seconds * FIELDS * 4 / 1e12 / peak().memory
        yield (
            f"simulating, {spacing_m:g} m cells, {count} at once",
            f"{count / seconds:.1f} samples/s, {cells * count / seconds / 1e9:.1f} G updates/s (every cell "
            f"counted), {percent(share)} of the memory's rate",
        )


def plan_of(spacing_m: float) -> Plan:
    """How ``simulate`` would do it."""
    given = signature(simulate).parameters.items()
    how = {name: option.default for name, option in given if option.kind is option.KEYWORD_ONLY}
    how["spacing_m"], step_s = spacing_m, how.pop("step_s")
    return prepare(models(1)[0], SURVEY, given_step_s=step_s, **how).plan


if __name__ == "__main__":
    np.save(f"{sys.argv[1]}/gathers.npy", gathers_of(np.load(f"{sys.argv[1]}/velocity.npy")))
