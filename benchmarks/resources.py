"""Peak memory, disk and CPU time of every stage as samples, members, record and section grow, one at a time.

    python -m benchmarks.resources [--out RESULTS.json]
    python -m benchmarks.resources --challenge      # what a sample of the challenge's size costs: for `--plan`

Each stage runs in a process of its own, forked from one that has imported everything, by the functions behind the
commands; twice, the first time to fill a cache of compiled programs, which the second reads. Memory is that of the
largest process, less what the imports take. An exponent p says that four times as much of what grows takes 4^p times
the memory, disk or time. With the samples for training grow those that are predicted and refined.
"""

import argparse
import json
import math
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import jax

from jax_inversion import config as configs
from jax_inversion import training
from jax_inversion.analyze import analyze
from jax_inversion.config import Config
from jax_inversion.infer import infer
from jax_inversion.refine import refine
from jax_inversion.runs import Run
from jax_inversion.simulate import simulate
from jax_inversion.survey import Survey
from jax_inversion.train import open_store, train

FACTOR = 4
SHOTS, RECEIVERS = 5, 16
Figures = dict[str, float]


@dataclass(frozen=True)
class Size:
    samples: int = 128
    tested: int = 4  # that are predicted and refined
    members: int = 1
    record_s: float = 0.25
    section: int = 1  # cells, in quarters of the challenge's 300 x 1260

    @property
    def survey(self) -> Survey:
        side = math.sqrt(self.section / FACTOR)
        nx, nz = round(300 * side), round(1260 * side)
        across = [k / (RECEIVERS - 1) * (nx - 1) for k in range(RECEIVERS)]
        return Survey(
            nx=nx, nz=nz, spacing_m=1.0, nt=round(self.record_s / 1e-4) + 1, dt_s=1e-4,
            source_x_m=tuple(k / (SHOTS - 1) * (nx - 1) for k in range(SHOTS)), source_z_m=20.0,
            receiver_x_m=tuple(across), receiver_z_m=10.0,
        )  # fmt: skip

    @property
    def config(self) -> Config:
        """The quickstart's, without a background, which would be simulated first."""
        values = configs.as_dict(configs.load("quickstart"))
        values["survey"] = self.survey.as_dict()
        values["simulator"]["background_km_s"] = "none"
        values["preprocess"]["whiten"] = False
        values["data"] |= {"source": "folders", "validation_fraction": 0.1}
        values["ensemble"] |= {"members": self.members, "group": []}
        values["train"] |= {"epochs": 1}
        values["refine"] |= {"workers": 1}
        values["track"]["wandb"] = "off"
        return configs.from_dict(values)


GROWN = {
    "samples": replace(Size(), samples=FACTOR * Size.samples, tested=FACTOR * Size.tested),
    "members": replace(Size(), members=FACTOR * Size.members),
    "record": replace(Size(), record_s=FACTOR * Size.record_s),
    "section": replace(Size(), section=FACTOR * Size.section),
}


def stages(size: Size, room: Path) -> Mapping[str, tuple[Callable[[], object], Path]]:
    """By name what each stage calls, and where it writes."""
    config, data, place = size.config, room / "data", Run(room / "run")
    how = {"survey": size.survey, "simulator": config.simulator, "workers": 1}

    def base() -> None:
        store = open_store(config, data, place)
        training.fit_base(config, training.split(store, config.data.validation_fraction, 0), place.base)

    return {
        "simulate": (lambda: simulate(data / "train", size.samples, **how), data / "train"),
        "test samples": (lambda: simulate(data / "test", size.tested, seed=1, truth=False, **how), data / "test"),
        "pack": (lambda: open_store(config, data, place), place.store),
        "base": (base, place.base),
        "train": (lambda: train(config, data, place.path), place.path / "checkpoints"),
        "infer": (lambda: infer(place.path, data, room / "predicted.npz"), room / "predicted.npz"),
        "refine": (lambda: refine(place.path, data, room / "refined.npz"), room / "refined.npz"),
    }


def measured(call: Callable[[], object]) -> Figures:
    """Peak MiB, and CPU and wall seconds, of ``call`` in a child and those that it starts."""
    begun = time.monotonic()
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            call()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    _, status, used = os.wait4(child, 0)
    if status:
        raise SystemExit("a stage failed")
    return {
        "mib": used.ru_maxrss / 1024,
        "cpu_s": used.ru_utime + used.ru_stime,
        "wall_s": time.monotonic() - begun,
    }


def disk_mib(path: Path) -> float:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) / 2**20


def of_size(size: Size, idle_mib: float) -> dict[str, Figures]:
    found = {}
    with tempfile.TemporaryDirectory() as room:
        for call, _ in stages(size, Path(room)).values():
            measured(call)
    with tempfile.TemporaryDirectory() as room:
        for name, (call, place) in stages(size, Path(room)).items():
            figures = measured(call)
            found[name] = figures | {"mib": figures["mib"] - idle_mib, "disk_mib": disk_mib(place)}
            print(f"{size}, {name}: {found[name]}", file=sys.stderr, flush=True)
    return found


def keep_compiled(folder: str) -> None:
    """All programs, here and in processes that are started."""
    for name, value in (
        ("jax_compilation_cache_dir", folder),
        ("jax_persistent_cache_min_compile_time_secs", 0),
        ("jax_persistent_cache_min_entry_size_bytes", -1),
    ):
        os.environ[name.upper()] = str(value)
        jax.config.update(name, value)


def of_challenge(counts: tuple[int, int] = (4, 20)) -> str:
    """CPU seconds and disk of one sample more, in the preset `challenge`, of the stages that go through all samples."""
    few, many = (measured_challenge(count) for count in counts)
    lines = ["| stage | CPU s a sample | disk MiB a sample | peak MiB |", "|---|--:|--:|--:|"]
    for name in few:
        each = [(many[name][key] - few[name][key]) / (counts[1] - counts[0]) for key in ("cpu_s", "disk_mib")]
        lines.append(f"| {name} | {each[0]:.3f} | {each[1]:.3f} | {many[name]['mib']:.0f} |")
    return "\n".join(lines)


def measured_challenge(count: int) -> dict[str, Figures]:
    config = configs.load("challenge")
    with tempfile.TemporaryDirectory() as folder:
        data, figures, run = Path(folder) / "data", Path(folder) / "figures", Run(Path(folder) / "run")
        calls: dict[str, tuple[Callable[[], object], Path]] = {
            "simulate": (lambda: simulate(data / "train", count, workers=1), data / "train"),
            "analyze": (lambda: analyze(data, figures), figures),
            "pack": (lambda: open_store(config, data, run), run.store),
        }
        return {name: measured(call) | {"disk_mib": disk_mib(place)} for name, (call, place) in calls.items()}


def table(smallest: dict[str, Figures], grown: dict[str, dict[str, Figures]]) -> str:
    """Each stage at the smallest size, and the exponents of its memory, disk and time in what grows."""
    header = ["stage", "MiB", "disk MiB", "CPU s", *(f"{name}: memory, disk, time" for name in grown)]
    lines = [header, ["---"] + ["--:"] * (len(header) - 1)]
    for stage, small in smallest.items():
        exponents = [
            ", ".join(exponent(small[key], of[stage][key]) for key in ("mib", "disk_mib", "cpu_s"))
            for of in grown.values()
        ]
        lines.append([stage, *(f"{small[key]:.3g}" for key in ("mib", "disk_mib", "cpu_s")), *exponents])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def exponent(small: float, large: float) -> str:
    return f"{math.log(large / small, FACTOR):.2f}" if small > 0 and large > 0 else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--challenge", action="store_true", help="one sample of the challenge's, and no more")
    options = parser.parse_args()
    os.environ["JAX_PLATFORMS"] = "cpu"
    if options.challenge:
        print(of_challenge())
        return
    idle_mib = measured(lambda: None)["mib"]
    with tempfile.TemporaryDirectory() as programs:
        keep_compiled(programs)
        smallest = of_size(Size(), idle_mib)
        grown = {name: of_size(size, idle_mib) for name, size in GROWN.items()}
    print(f"{Size()}; the imports take {idle_mib:.0f} MiB\n\n{table(smallest, grown)}")
    if options.out:
        options.out.write_text(json.dumps({"idle_mib": idle_mib, "smallest": smallest, **grown}, indent=1))


if __name__ == "__main__":
    main()
