"""A preset's training step as XLA compiles it by itself and without YNNPACK: what decides ``training.compiling``.

    python -m benchmarks.compiling quickstart                                   # or several, or files
    python -m benchmarks.compiling challenge --rounds 5 --batch 1 --members 1   # less of it

The two programs take turns, so that what else the machine does falls on both: medians, and the median of the ratios.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from unittest.mock import patch

import jax

from benchmarks.step import Step
from jax_inversion import config as configs
from jax_inversion.config import Config
from jax_inversion.training import step
from jax_inversion.training.compiling import WITHOUT_YNNPACK

WAYS = {"XLA's own": None, "without YNNPACK": dict(WITHOUT_YNNPACK)}


def turns(config: Config, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Wall-clock and CPU seconds of ``rounds`` steps each way, one after another."""
    programs = {}
    for name, options in WAYS.items():
        with patch.object(step, "compiler_options", lambda _, options=options: options):
            ready = Step.of(config)
            state, placed = ready.state(), ready.placed()
            programs[name] = ready.parts.step.lower(state, placed).compile(), [state], placed
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for k in range(rounds + 1):
        for name, (program, state, placed) in programs.items():
            begun = time.monotonic(), time.process_time()
            state[0], metrics = program(state[0], placed)
            jax.block_until_ready(metrics)
            if k:  # the first one warms up
                found[name].append((time.monotonic() - begun[0], time.process_time() - begun[1]))
    return found


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--members", type=int)
    asked = parser.parse_args(argv)
    given = {"train.batch_size": asked.batch, "ensemble.members": asked.members}
    changes = [f"--{key}={value}" for key, value in given.items() if value is not None]
    print("| preset | step (ms) | CPU (ms) | without YNNPACK | CPU | ratio |\n|---|--:|--:|--:|--:|--:|")
    for preset in asked.presets:
        own, without = turns(configs.load(preset, changes), asked.rounds).values()
        medians_s = [statistics.median(column) for way in (own, without) for column in zip(*way, strict=True)]
        cells = [f"{1e3 * seconds:.0f}" for seconds in medians_s]
        ratio = statistics.median(b[0] / a[0] for a, b in zip(own, without, strict=True))
        print(f"| `{preset}` | {' | '.join(cells)} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
