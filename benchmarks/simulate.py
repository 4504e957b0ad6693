"""The simulator against Devito and Deepwave: one process tree, the same cores, one Markdown table.

    python benchmarks/simulate.py --data ../shared/data/reference [--quick] [--skip-devito-1m] [--out RESULTS.json]

Every configuration runs in a process of its own, forward and gradient apart, so that peak memory is its own; several
copies at once where a row says so. The table goes to standard output, progress to standard error.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
DEVITO, DEEPWAVE, OURS = "benchmarks.rivals.devito_acoustic", "benchmarks.rivals.deepwave_scalar", "benchmarks.ours"
HEADER = [
    "propagator", "processes x threads", "samples/h", "x Devito 1 m", "s/sample", "gradient/forward",
    "peak MiB", "with gradient", "compile s", "error %", "after 0.35 s %", "M updates/s",
]  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One configuration: a module's options, how often it runs at once and on how many cores each."""

    name: str
    module: str
    options: str = ""
    copies: int = 1
    threads: int = 2
    samples: int = 8
    repeats: int = 3
    gradient: bool = False


def rows(cores: int, quick: bool, skip_devito_1m: bool) -> list[Row]:
    """The table's rows, the yardstick first. Every program runs once over all cores and once with a process a core."""
    one_metre = Row(
        "Devito, 1 m, order 2, 0.1 ms", DEVITO, "--spacing-m 1 --step-s 1e-4 --order 2", samples=1, repeats=1
    )
    if quick:
        one_metre = replace(one_metre, options=one_metre.options + " --share 0.1")
    like = "--step-s 5e-4 --interval-s 5e-4 --no-windows"
    together = [
        *([] if skip_devito_1m else [one_metre]),
        Row("Devito, 5 m, order 8, 0.5 ms", DEVITO),
        Row("Deepwave, 5 m, order 8, 0.5 ms, PML", DEEPWAVE, gradient=True),
        Row("ours, 5 m, order 8, its own step", OURS, gradient=True),
    ]
    like_for_like = [
        Row("Deepwave, gradient summed every 4 ms", DEEPWAVE, "--every 8", gradient=True),
        Row("Deepwave, its time dispersion corrected", DEEPWAVE, "--time-dispersion", gradient=True),
        Row("ours, 0.5 ms, every cell", OURS, like, gradient=True),
        Row("ours, 0.5 ms, every cell, CPML", OURS, like + " --boundary cpml", gradient=True),
    ]
    apart = [replace(row, copies=cores, threads=1, gradient=False) for row in (*together, like_for_like[-1])]
    every = [replace(row, threads=cores if row.copies == 1 else 1) for row in (*together, *like_for_like, *apart)]
    return [replace(row, samples=1, repeats=1) for row in every] if quick else every


def run(row: Row, data: list[Path], cores: list[int], gradient: bool = False) -> dict[str, Any]:
    """Run all copies at once, each bound to its cores. Their medians add up to samples per hour; memory adds up too."""
    command = [sys.executable, "-m", row.module, *row.options.split(), "--threads", str(row.threads)]
    command += ["--repeats", str(row.repeats), *(["--gradient"] if gradient else []), "--samples"]
    command += [str(path) for path in data[: row.samples]]
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(row.threads))
    env = os.environ | counts | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(REPO), "PYTHONWARNINGS": "ignore"}
    env["JAX_TRACEBACK_FILTERING"] = "off"  # so that the last line of an error says what it was

    def start(copy: int) -> subprocess.Popen:
        mine = cores[copy * row.threads : (copy + 1) * row.threads]
        bind = (lambda: os.sched_setaffinity(0, mine)) if hasattr(os, "sched_setaffinity") else None
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=env, cwd=REPO, preexec_fn=bind, **pipes)

    found = []
    started = [start(copy) for copy in range(row.copies)]
    for process, (out, err) in [(process, process.communicate()) for process in started]:
        if process.returncode:
            return {"failed": (err.strip().splitlines() or ["no message"])[-1]}
        found.append(json.loads(out.strip().splitlines()[-1]))
    return found[0] | {
        "samples_per_hour": sum(3600 / one["seconds"] for one in found),
        "peak_mib": sum(one["peak_mib"] for one in found),
        "updates_per_s": found[0]["updates_per_s"] and sum(one["updates_per_s"] for one in found),
        "seconds": sum(one["seconds"] for one in found) / len(found),
    }


def table(results: list[tuple[Row, dict[str, Any], dict[str, Any]]]) -> str:
    """Markdown. A star marks times scaled up from a share of the steps.

    The ratio is to the better of Devito's rows at 1 m.
    """
    yardstick = max(
        (f["samples_per_hour"] for r, f, _ in results if "1 m" in r.name and "failed" not in f), default=None
    )
    lines = [HEADER, ["---"] + ["--:"] * (len(HEADER) - 1)]
    for row, forward, gradient in results:
        if "failed" in forward:
            lines.append([row.name, f"failed: {forward['failed'].replace('|', '/')}", *[""] * (len(HEADER) - 2)])
            continue
        lines.append([
            row.name,
            f"{row.copies} x {row.threads}",
            f"{forward['samples_per_hour']:.4g}{'*' if forward['extrapolated'] else ''}",
            shown(yardstick and forward["samples_per_hour"] / yardstick, ".3g"),
            f"{forward['seconds']:.3g}",
            "failed" if "failed" in gradient else shown(ratio(gradient, forward), ".2f"),
            f"{forward['peak_mib']:.0f}",
            shown(gradient.get("peak_mib"), ".0f"),
            f"{forward['compile_s']:.1f}" + (f", {gradient['compile_s']:.1f}" if "compile_s" in gradient else ""),
            shown(forward["error"] and 100 * forward["error"], ".2g"),
            shown(forward["late_error"] and 100 * forward["late_error"], ".2g"),
            shown(forward["updates_per_s"] and forward["updates_per_s"] / 1e6, ".0f"),
        ])  # fmt: skip
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ratio(gradient: dict[str, Any], forward: dict[str, Any]) -> float | None:
    return gradient["seconds"] / forward["seconds"] if gradient else None


def shown(value: float | None, form: str) -> str:
    return "" if value is None else f"{value:{form}}"


def machine() -> str:
    """One line on where the table was measured."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        if info.exists()
        else []
    )
    return f"{names[0] if names else platform.machine()}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=REPO / "tests" / "data", help="sample folders or .npz files")
    parser.add_argument("--cores", type=int, default=2, help="cores that everything is bound to")
    parser.add_argument(
        "--quick", action="store_true", help="one sample, one repeat, Devito at 1 m from a tenth of the steps"
    )
    parser.add_argument("--skip-devito-1m", action="store_true")
    parser.add_argument("--only", default="", help="only rows whose name has this text")
    parser.add_argument("--out", type=Path, help="also write every figure to this JSON file")
    args = parser.parse_args()
    data = sorted(p.resolve() for p in args.data.iterdir() if p.suffix == ".npz" or (p / "vp_model.npy").is_file())
    if not data:
        parser.error(f"{args.data} holds neither sample folders nor .npz samples")
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    cores = cores[: args.cores]
    if os.getloadavg()[0] > 0.5:
        print(f"warning: the machine is busy (load {os.getloadavg()[0]:.1f}); the figures will be off", file=sys.stderr)

    results = []
    for row in rows(len(cores), args.quick, args.skip_devito_1m):
        if args.only.lower() not in row.name.lower():
            continue
        forward = run(row, data, cores)
        gradient = run(row, data[:1], cores, gradient=True) if row.gradient and "failed" not in forward else {}
        print(f"{row.name} ({row.copies} x {row.threads}): {forward} {gradient}", file=sys.stderr, flush=True)
        results.append((row, forward, gradient))
    if args.out:
        args.out.write_text(json.dumps([vars(r) | {"forward": f, "with_gradient": g} for r, f, g in results], indent=1))
    versions = sorted({f["version"] for _, f, _ in results if "version" in f})
    print(f"{machine()}; {len(cores)} cores; {', '.join(versions)}; {len(data)} samples\n\n{table(results)}")


if __name__ == "__main__":
    main()
