"""What an accelerator does with the package's programs: right results first, then time and its share of the peak.

    python -m benchmarks.device                 # on a card: everything; a table in Markdown
    python -m benchmarks.device check           # one step of check, train, infer and simulate; or several
    python -m benchmarks.device --presets quickstart --batches 1 --steps 1 --samples 24 --tests 2    # as on a CPU

Training steps are timed on random numbers, whose values decide nothing; medians, compilation apart. What fails is named
in the table and on standard error, the rest is measured all the same, and the status says so.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp

from benchmarks.card import REPO, Row, agreement, median_s, peak, percent, simulation
from benchmarks.step import Step
from jax_inversion import config as configs
from jax_inversion.config import Config
from jax_inversion.inference.predict import make_predict
from jax_inversion.models import attention, convolution
from jax_inversion.simulate import simulate
from jax_inversion.train import train
from jax_inversion.training.assembly import groups
from jax_inversion.training.state import TrainState

MEMBERS = 3
# Ways of running members of one network: whether each is a group, and what is otherwise on a card (a CPU has products).
# As they are, convolutions are each member's own, those of small kernels apart, and attention is cuDNN's.
AS_IT_IS, GROUPED, APART = "side by side, as it is", "side by side, convolutions grouped", "each a group of its own"
PADDED = "side by side, all kernels padded to the largest"
PRODUCTS = "side by side, attention as products"
WAYS: dict[str, tuple[bool, Any]] = {
    AS_IT_IS: (False, nullcontext()),
    GROUPED: (False, patch.object(convolution, "convolution", convolution._library)),
    PADDED: (False, patch.object(convolution, "runs", lambda kernels: [kernels])),
    PRODUCTS: (False, patch.object(attention, "cudnn_takes", lambda query: False)),
    APART: (True, nullcontext()),
}
CONVOLVING = GROUPED, PADDED


def timed(ready: Step, times: int) -> tuple[str, TrainState]:
    """A training step's figures, and the state that it leaves."""
    config, spread, state, placed = ready.config, ready.parts.spread, ready.state(), ready.placed()
    begun = time.monotonic()
    lowered = ready.parts.step.lower(state, placed)
    compiled = lowered.compile()
    compiling_s = time.monotonic() - begun
    held = [state]

    def step() -> Any:
        held[0], metrics = compiled(held[0], placed)
        return metrics

    seconds = median_s(step, times)
    said = [f"{1e3 * seconds:.0f} ms", f"{config.total_members * config.train.batch_size / seconds:.0f} samples/s"]
    if spread.is_one:  # of a program for several nobody says whose operations were counted
        half = all(own.model.dtype == "bfloat16" for own in config.groups.values())
        rate, most = flops(lowered, compiled) / seconds / 1e12, peak().bf16 if half else peak().tf32
        said.append(f"{rate:.3g} TFLOP/s ({percent(rate / most)} of the {'bfloat16' if half else 'TF32'} peak)")
    gib = compiled.memory_analysis().temp_size_in_bytes / 2**30
    return ", ".join((*said, f"{gib:.2f} GiB", f"compiled in {compiling_s:.0f} s")), held[0]


def on(ready: Step) -> str:
    return "" if ready.parts.spread.is_one else f", {ready.parts.spread}"


def flops(lowered: Any, compiled: Any) -> float:
    """Of the program as it is written, where that can be had: the compiled one's count lacks calls of libraries."""
    for program in (lowered, compiled):
        try:
            found = (program.cost_analysis() or {}).get("flops", 0.0)
        except (jax.errors.JaxRuntimeError, NotImplementedError):
            continue
        if found > 0:
            return found
    return float("nan")


def training(preset: str, times: int) -> Iterator[Row]:
    """A preset's step, and its prediction."""
    ready = Step.of(configs.load(preset))
    config, size = ready.config, ready.config.train.batch_size
    figures, state = timed(ready, times)
    yield f"training step of `{preset}`, {config.total_members} members, batches of {size}{on(ready)}", figures
    predict = make_predict(groups(config, ready.inputs.survey), ready.inputs, config.infer)
    gathers, fine, key = jnp.asarray(ready.batch["gathers"][0]), ready.fine_bases(size), jax.random.key(0)
    seconds = median_s(lambda: predict(state.variables, gathers, fine, key).mean, max(1, times // 2))
    yield f"predicting with `{preset}`, without reading", f"{size / seconds:.1f} samples/s"


def three(preset: str, apart: bool = False, *changes: str) -> Config:
    """A preset with three members of its own network alone; ``apart``: each a group, which is computed by itself."""
    values = configs.as_dict(configs.load(preset, changes))
    own = {"members": 1, "group": [{"members": 1}] * (MEMBERS - 1)} if apart else {"members": MEMBERS, "group": []}
    values["ensemble"] |= own
    return configs.from_dict(values)


def way(preset: str, how: str, devices: int, times: int) -> Iterator[Row]:
    """Three members run in one of the ways, on the first ``devices``."""
    apart, changed = WAYS[how]
    some = jax.local_devices()[:devices]
    with patch.object(jax, "local_devices", lambda: some), changed:
        ready = Step.of(three(preset, apart))
        figures, _ = timed(ready, times)
    yield f"step of three members of `{preset}`, {how}{on(ready)}", figures


def from_files_to_files(preset: str, samples: int, tests: int) -> Iterator[Row]:
    """Three members by the front doors: test samples written, an epoch with its checkpoint, a submission."""
    simulated = "--data.source=simulated", f"--simulate.train-count={samples}"
    config = three(preset, False, *simulated, "--train.epochs=2", "--track.wandb=off")
    with tempfile.TemporaryDirectory() as folder:
        data, run = Path(folder) / "data", Path(folder) / "run"
        begun = time.monotonic()
        simulate(data / "test", tests, survey=config.survey, simulator=config.simulator, truth=False)
        yield f"simulating and writing {tests} samples, compiling too", f"{time.monotonic() - begun:.1f} s"
        saved: list[float] = []
        train(config, None, run, on_checkpoint=lambda: saved.append(time.monotonic()))
        yield (
            f"epoch of {samples} samples of `{preset}`, three members: validation and checkpoint too",
            f"{saved[-1] - saved[-2]:.1f} s from one checkpoint on the disk to the next",
        )
        command = [sys.executable, "-m", "jax_inversion.infer", "--ckpt", run, "--data", data]
        kept = {"JAX_COMPILATION_CACHE_DIR": f"{folder}/compiled"}
        seconds = []
        for name in ("first", "again"):
            begun = time.monotonic()
            out = ["--out", f"{folder}/{name}.npz"]
            subprocess.run([*command, *out], check=True, cwd=REPO, env=os.environ | kept, stdout=sys.stderr)
            seconds.append(time.monotonic() - begun)
    ways = (1 + config.infer.mirror) * (1 + config.infer.noise_copies)
    yield (
        f"`infer` of {tests} written samples by three members of `{preset}`, {ways} ways each; the whole command",
        f"{seconds[0]:.1f} s, again, with what was compiled kept, {seconds[1]:.1f} s",
    )


def sources(options: argparse.Namespace) -> dict[str, list[partial]]:
    """By step what makes its rows, in the order in which they matter."""
    presets, times = options.presets.split(","), options.steps
    batches = [int(count) for count in options.batches.split(",")]
    convolves = configs.load(presets[0]).model.name == "inversion"
    ways = [partial(way, presets[0], how, 1, times) for how in WAYS if convolves or how not in CONVOLVING]
    if len(jax.local_devices()) >= MEMBERS:  # one on each
        ways.append(partial(way, presets[0], AS_IT_IS, MEMBERS, times))
    first, *others = (partial(training, preset, times) for preset in presets)
    return {
        "check": [partial(agreement)],
        "train": [first, *ways, *others],
        "infer": [partial(from_files_to_files, presets[0], options.samples, options.tests)],
        "simulate": [partial(simulation, spacing_m, batches, max(1, times // 4)) for spacing_m in (5.0, 10.0)],
    }


def told(rows: partial) -> bool:
    """Print a source's rows as they come; whether all came."""
    try:
        for what, measured in rows():
            print(f"| {what} | {measured} |", flush=True)
    except Exception as error:  # of JAX, of a process, out of memory: all are news
        traceback.print_exc()
        reason = (str(error).splitlines() or [repr(error)])[0]
        print(f"| {' '.join(map(str, (rows.func.__name__, *rows.args)))} | failed: {reason} |", flush=True)
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", help="steps of check, train, infer and simulate (default: all)")
    parser.add_argument("--presets", default="challenge,quickstart,workstation", help="the first has all rows")
    parser.add_argument("--batches", default="1,8,32,64", help="models simulated at once")
    parser.add_argument("--steps", type=int, default=20, help="that a median is taken of")
    parser.add_argument("--samples", type=int, default=400, help="of the epoch, those that validate among them")
    parser.add_argument("--tests", type=int, default=150, help="samples that are predicted")
    options = parser.parse_args()
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # other processes are measured beside this one
    device, known = jax.devices()[0], sources(options)
    if unknown := sorted({*options.only} - {*known}):
        parser.error(f"{unknown[0]} is not one of {', '.join(known)}")
    print(f"{len(jax.devices())} x {device.device_kind} ({device.platform}), jax {jax.__version__}\n")
    print("| what | measured |\n|---|---|", flush=True)
    wrong = [rows for step in options.only or known for rows in known[step] if not told(rows)]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
