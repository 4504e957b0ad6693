"""Training against PyTorch: the original framework's network on raw gathers beside ours, one Markdown table.

    python -m jax_inversion simulate --out DATA/train --count 480 --seed 11 --spacing 10
    python -m benchmarks.train --data DATA [--epochs 8] [--times 3] [--out RESULTS.json]

Every figure comes from a process of its own, so that peak memory is its own. PyTorch is trained for as many CPU seconds
as our own training took from the samples' folders on: packing, regressions, compiling and validating counted.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.simulate import REPO, machine, shown

HEADER = (
    "network", "parameters M", "forward, samples/s", "CPU s a sample", "MiB", "training, samples/s", "CPU s a sample",
    "x PyTorch", "MiB", "MAPE %", "after CPU s", "wall s", "samples seen",
)  # fmt: skip
TORCH, OURS = "benchmarks.rivals.torch_training", "benchmarks.ours_training"
Found = dict[str, Any]


@dataclass(frozen=True)
class Row:
    name: str
    module: str
    options: tuple[str, ...] = ()
    trained: bool = True


ROWS = (
    Row("`quickstart`, both members", OURS, ("--preset", "quickstart")),
    Row("`inversion` at the original's sizes, one member, 1 ms", OURS, ("--preset", "inversion"), trained=False),
    Row("PyTorch, the original's, one member, 0.1 ms", TORCH),
)


def run(row: Row, measure: str, *options: str) -> Found:
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    path = os.pathsep.join([str(REPO), *filter(None, [os.environ.get("PYTHONPATH")])])
    # threads that wait must not count as work
    environment |= {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-m", row.module, *row.options, "--measure", measure, *options]
    done = subprocess.run(command, env=environment, cwd=REPO, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{row.name}, {measure}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    print(f"{row.name}, {measure}: {done.stdout.strip().splitlines()[-1]}", file=sys.stderr, flush=True)
    return json.loads(done.stdout.strip().splitlines()[-1])


def table(results: list[tuple[Row, dict[str, Found]]]) -> str:
    (yardstick,) = (found["step"]["cpu_s"] for row, found in results if row.module == TORCH)
    lines = [list(HEADER), ["---"] + ["--:"] * (len(HEADER) - 1)]
    for row, found in results:
        forward, step, mape = found["forward"], found["step"], found.get("mape", {})
        lines.append([
            row.name, f"{step['parameters'] / 1e6:.2f}",
            f"{forward['samples_per_s']:.3g}", f"{forward['cpu_s']:.3g}", f"{forward['peak_mib']:.0f}",
            f"{step['samples_per_s']:.3g}", f"{step['cpu_s']:.3g}", f"{yardstick / step['cpu_s']:.3g}",
            f"{step['peak_mib']:.0f}", shown(mape.get("mape"), ".2f"), shown(mape.get("total_cpu_s"), ".0f"),
            shown(mape.get("seconds"), ".0f"), shown(mape.get("seen"), "d"),
        ])  # fmt: skip
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train/, in the challenge's layout")
    parser.add_argument("--epochs", type=int, default=8, help="of our training")
    parser.add_argument("--times", type=int, default=3, help="calls a figure")
    parser.add_argument("--torch-batch", type=int, default=4, help="samples a step of PyTorch's; 4 take 10 GB")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    data, times = ("--data", str(options.data.resolve())), ("--times", str(options.times))
    results: list[tuple[Row, dict[str, Found]]] = []
    budget_s = 0.0
    for row in ROWS:
        found = {}
        batch = ("--batch", str(options.torch_batch)) if row.module == TORCH else ()
        if row.trained:
            ends = ("--cpu-seconds", f"{budget_s}") if row.module == TORCH else ("--epochs", str(options.epochs))
            found["mape"] = run(row, "mape", *data, *batch, *ends)
            budget_s = max(budget_s, found["mape"]["total_cpu_s"])
        found |= {measure: run(row, measure, *batch, *times) for measure in ("forward", "step")}
        results.append((row, found))
    versions = ", ".join(dict.fromkeys(found["step"]["version"] for _, found in results))
    count = sum(1 for _ in (options.data / "train").iterdir())
    print(f"{machine()}; {len(os.sched_getaffinity(0))} cores; {versions}; {count} samples\n\n{table(results)}")
    if options.out:
        options.out.write_text(json.dumps([{"name": row.name, **found} for row, found in results], indent=1))


if __name__ == "__main__":
    main()
