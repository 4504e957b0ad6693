"""What an accelerator does with the package's programs: right results first, then time and its share of the peak.

    python -m benchmarks.device                      # on a card: everything; a table in Markdown
    python -m benchmarks.device --presets quickstart --batches 1,4 --steps 3      # small, as on a CPU

Steps and simulations are timed on random numbers, whose values decide nothing; medians, compilation apart.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.step import Step
from jax_inversion import backgrounds, geology
from jax_inversion import config as configs
from jax_inversion.inference.predict import make_predict
from jax_inversion.physics import SimulatorConfig, simulate
from jax_inversion.physics.plan import Plan
from jax_inversion.physics.simulate import prepare
from jax_inversion.survey import CHALLENGE
from jax_inversion.training.assembly import groups

# Peak of dense products in TFLOP/s (TF32) and of memory in TB/s, from the makers' data sheets.
PEAKS = {"H200": (494, 4.8), "H100": (494, 3.35), "A100": (156, 2.0), "L40S": (183, 0.864), "A10": (62, 0.6)}
FIELDS = 4  # float32 numbers that a cell update reads and writes: two fields, the slowness, the new field
TEST_SAMPLES = 150

Row = tuple[str, str]


def median_s(call: Callable[[], Any], times: int) -> float:
    jax.block_until_ready(call())
    seconds = []
    for _ in range(times):
        begun = time.monotonic()
        jax.block_until_ready(call())
        seconds.append(time.monotonic() - begun)
    return statistics.median(seconds)


def peaks() -> tuple[float, float]:
    kind = jax.devices()[0].device_kind
    return next((peak for name, peak in PEAKS.items() if name in kind), (float("nan"), float("nan")))


def models(count: int) -> jax.Array:
    return jax.vmap(lambda key: geology.draw(key, CHALLENGE))(jax.random.split(jax.random.key(0), count))


def plan_of(spacing_m: float) -> Plan:
    """How ``simulate`` would do it."""
    given = signature(simulate).parameters.items()
    how = {name: option.default for name, option in given if option.kind is option.KEYWORD_ONLY}
    how["spacing_m"], step_s = spacing_m, how.pop("step_s")
    return prepare(models(1)[0], CHALLENGE.with_interval(0.004), given_step_s=step_s, **how).plan


def agreement() -> Iterator[Row]:
    """The simulator here against the same program on this machine's CPU."""
    if jax.default_backend() == "cpu":
        return
    survey, simulator = CHALLENGE.with_interval(0.004), SimulatorConfig(spacing_m=10.0)
    velocity = np.asarray(models(1)[0])
    here = np.asarray(simulate(velocity, survey, **backgrounds.options(survey, simulator)))
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/v.npy", velocity)
        code = (
            "import sys, numpy as np; from jax_inversion import backgrounds; from jax_inversion.physics import *;"
            "from jax_inversion.survey import CHALLENGE as c; s = c.with_interval(0.004);"
            "o = backgrounds.options(s, SimulatorConfig(spacing_m=10.0)); f = sys.argv[1];"
            "np.save(f + '/g.npy', simulate(np.load(f + '/v.npy'), s, **o))"
        )
        environment = {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(Path(__file__).parents[1])}
        subprocess.run([sys.executable, "-c", code, folder], check=True, env=environment)
        there = np.load(f"{folder}/g.npy")
    off = abs(here - there).max() / abs(there).max()
    yield "largest difference from the CPU, of the largest amplitude", f"{off:.1e}"


def simulation(batches: list[int], times: int) -> Iterator[Row]:
    survey = CHALLENGE.with_interval(0.004)
    for spacing_m in (5.0, 10.0):
        simulator = SimulatorConfig(spacing_m=spacing_m)
        options = backgrounds.options(survey, simulator)
        one = jax.jit(lambda velocity, options=options: simulate(velocity, survey, **options))
        plan = plan_of(spacing_m)
        cells = plan.steps * float(np.prod(plan.grid.shape)) * survey.shots
        for count in batches:
            seconds = median_s(lambda count=count, one=one: one(models(count)), times)
            share = cells * count / seconds * FIELDS * 4 / 1e12 / peaks()[1]
            yield (
                f"simulating, {spacing_m:g} m cells, {count} at once",
                f"{count / seconds:.1f} samples/s, {cells * count / seconds / 1e9:.1f} G updates/s (every cell "
                f"counted), {100 * share:.0f} % of the memory's rate",
            )


def training(preset: str, times: int) -> Iterator[Row]:
    ready = Step.of(configs.load(preset))
    config, parts, placed, state = ready.config, ready.parts, ready.placed(), ready.state()
    members, size = config.total_members, config.train.batch_size
    begun = time.monotonic()
    compiled = parts.step.lower(state, placed).compile()
    compiling = time.monotonic() - begun
    held = [state]

    def step() -> Any:
        held[0], metrics = compiled(held[0], placed)
        return metrics

    seconds = median_s(step, times)
    cost, memory = compiled.cost_analysis() or {}, compiled.memory_analysis()
    flops = cost.get("flops", float("nan"))
    yield (
        f"training step of `{preset}`, {members} members, batches of {size}, {parts.spread}",
        f"{1e3 * seconds:.0f} ms, {members * size / seconds:.0f} samples/s, {flops / seconds / 1e12:.2f} TFLOP/s "
        f"({100 * flops / seconds / 1e12 / peaks()[0]:.0f} % of the peak), {memory.temp_size_in_bytes / 2**30:.2f} "
        f"GiB, compiled in {compiling:.0f} s",
    )
    predict = make_predict(groups(config, ready.inputs.survey), ready.inputs, config.infer)
    gathers, fine, key = jnp.asarray(ready.batch["gathers"][0]), ready.fine_bases(size), jax.random.key(0)
    seconds = median_s(lambda: predict(held[0].variables, gathers, fine, key).mean, max(1, times // 2))
    yield (
        f"predicting {TEST_SAMPLES} samples with `{preset}`, without reading",
        f"{TEST_SAMPLES / size * seconds:.1f} s",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", default="quickstart,workstation,challenge")
    parser.add_argument("--batches", default="1,8,32,64")
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    device = jax.devices()[0]
    print(f"{len(jax.devices())} x {device.device_kind} ({device.platform}), jax {jax.__version__}\n")
    print("| what | measured |\n|---|---|")
    rows = [agreement(), simulation([int(n) for n in options.batches.split(",")], max(1, options.steps // 4))]
    for source in (*rows, *(training(preset, options.steps) for preset in options.presets.split(","))):
        for what, measured in source:
            print(f"| {what} | {measured} |", flush=True)


if __name__ == "__main__":
    main()
