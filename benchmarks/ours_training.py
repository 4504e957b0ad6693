"""Our networks, measured as the PyTorch one is. Started by ``benchmarks/train.py``, once for each figure."""

import time

BEGUN = time.monotonic()  # importing and compiling count where a training is timed

import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402

import jax  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks.measured import arguments, median_call, peak_mib, say  # noqa: E402
from benchmarks.step import Step  # noqa: E402
from jax_inversion import config as configs  # noqa: E402
from jax_inversion.config import Config  # noqa: E402
from jax_inversion.train import train  # noqa: E402
from jax_inversion.training import read_metrics  # noqa: E402

# One member of the original's sizes, and float32: a CPU emulates bfloat16, and recomputing saves memory only.
ORIGINAL = {"ensemble": {"members": 1}, "model": {"dtype": "float32", "remat": False}}


def settings(preset: str, fraction: float, epochs: int) -> Config:
    values = configs.as_dict(configs.load("challenge" if preset == "inversion" else preset))
    values["data"] |= {"source": "folders", "validation_fraction": fraction}
    values["track"]["wandb"] = "off"
    values["train"]["epochs"] = epochs
    if preset == "inversion":
        values["ensemble"] = ORIGINAL["ensemble"]
        values["model"] |= ORIGINAL["model"]
    return configs.from_dict(values)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--preset", required=True, help="a preset's name, or inversion: the original's sizes")
    parser.add_argument("--epochs", type=int, default=1)
    args = parser.parse_args()
    config = settings(args.preset, args.validation_fraction, args.epochs)
    found = {"version": f"jax {jax.__version__}"}
    if args.measure == "mape":
        found |= trained(config, args.data)
    else:
        ready = Step.of(config)
        state = ready.state()
        found["parameters"] = sum(leaf.size for leaf in jax.tree.leaves(state.params))
        found |= {"forward": forward, "step": training}[args.measure](ready, state, args.times)
    say(found)


def forward(ready: Step, state, times: int) -> dict[str, float]:
    gathers, run = np.asarray(ready.batch["gathers"][0]), ready.forward(state)
    return median_call(lambda: jax.block_until_ready(run(gathers)), times, len(gathers))


def training(ready: Step, state, times: int) -> dict[str, float]:
    batch, held = ready.placed(), [state]

    def call() -> None:
        held[0], metrics = ready.parts.step(held[0], batch)
        jax.block_until_ready((held[0], metrics))

    return median_call(call, times, ready.config.train.batch_size)


def trained(config: Config, data: Path) -> dict[str, float]:
    """By the front door, from the folders on: packing, regressions, compiling and checkpoints are in the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        run = train(config, data, Path(folder) / "run")
        spent = {"seconds": time.monotonic() - BEGUN, "total_cpu_s": time.process_time(), "peak_mib": peak_mib()}
        last = [row for row in read_metrics(run) if "validation/mape" in row][-1]
    return {
        "mape": 100 * last["validation/mape"],
        "seen": last["step"] * config.train.batch_size,
        "kernel": 100 * last["validation/kernel_mape"],
        **spent,
    }


if __name__ == "__main__":
    main()
