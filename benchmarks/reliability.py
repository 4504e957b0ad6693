"""What kills and damage cost a run: ``python -m benchmarks.reliability`` prints a Markdown table.

A shrunken preset is trained by the real front door in processes that are killed at random moments and go on, until so
many kills were had, with and without a base; checkpoints are damaged at random; a run is read while it is trained.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from jax_inversion import config as configs
from jax_inversion.data.folders import write_sample
from jax_inversion.errors import UserError
from jax_inversion.survey import Survey
from jax_inversion.train import main as train
from jax_inversion.training import list_checkpoints, read_metrics, resolve, restore

SURVEY = Survey(
    nx=12, nz=20, spacing_m=10.0, nt=101, dt_s=2e-3, source_x_m=(0.0, 110.0), source_z_m=20.0,
    receiver_x_m=(0.0, 30.0, 55.0, 80.0, 110.0), receiver_z_m=10.0,
)  # fmt: skip
SETTINGS = {
    "survey": SURVEY.as_dict(),
    "data": {"validation_fraction": 0.25},
    "preprocess": {"dt_s": 4e-3},
    "augment": {"mirror": 0.5, "noise": 0.05},
    "model": {
        "embedding": 16, "heads": 2, "layers": 1, "channels": [4], "token_grid": [4, 2], "cross_source_layers": 1,
        "upsampling": [8],
    },
    "ensemble": {"members": 2},
    "train": {"epochs": 12, "batch_size": 4, "learning_rate": 1e-3, "ema_decay": 0.9, "checkpoint_every": 3},
    "track": {"wandb": "off"},
}  # fmt: skip
FAULTS = ("one bit", "a byte", "sixteen bytes", "cut short", "emptied", "gone")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=40, help="SIGKILLs with a base, and as many without")
    parser.add_argument("--damaged", type=int, default=400, help="checkpoints to damage")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        jax.config.update("jax_compilation_cache_dir", str(room / "cache"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_disable_most_optimizations", True)  # compiling is not what is tried here
        make_samples(room / "data")
        rows = []
        for base in ("none", "linear"):
            configs.save(configs.from_dict(SETTINGS | {"base": {"regression": base}}), room / f"{base}.toml")
            rows += kill(room, base, options.kills, chance)
        rows += damage(room, options.damaged, options.seed) + read_meanwhile(room)
        print("| what | how many | outcome |\n|---|--:|---|")
        for row in rows:
            print("| {} | {} | {} |".format(*row))


def make_samples(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for k in range(16):
        velocity = np.full(SURVEY.model_shape, 1.5)
        velocity[:, rng.integers(4, 16) :] = rng.uniform(2.0, 4.0)
        gathers = 0.01 * rng.standard_normal(SURVEY.gathers_shape)
        write_sample(folder / "train", f"sample{k:02d}", SURVEY, gathers, velocity)


def kill(room: Path, base: str, kills: int, chance: random.Random) -> list[tuple[str, int, str]]:
    """Runs of one preset, each killed and gone on with until it is finished, until there were so many ``kills``."""
    whole = room / f"{base}_whole"
    assert wait(start(room, base, whole)) == 0, said(whole)
    lasts_s = time_steps(room, base)
    done = runs = same = unreadable = 0
    while done < kills:
        run = room / f"{base}_{runs}"
        while True:
            process = start(room, base, run)
            if done < kills:
                finished = wait_for_steps(process, run) or ended_within(process, chance.uniform(0, lasts_s))
            else:
                finished = True
            if finished:
                break
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            done += 1
            unreadable += wait(fork(run, lambda run=run: check_readable(run)))
        wait(process)
        runs += 1
        same += not wait(fork(run, lambda run=run: compare(run, whole)))
    text = f"{same} of {runs} runs end with every weight, score and name of an uninterrupted one"
    return [(f"SIGKILL at random, base {base}", done, f"{text}; unreadable after a kill: {unreadable}")]


def damage(room: Path, count: int, seed: int) -> list[tuple[str, int, str]]:
    """One file of the best or the latest checkpoint is damaged, and that is asked for."""
    path = room / "damage.txt"
    assert wait(fork(room / "none_whole", lambda: damage_all(room, count, seed, path))) == 0, said(room / "none_whole")
    outcomes = Counter(path.read_text().splitlines())
    return [("damaged files of checkpoints", count, ", ".join(f"{v} {k}" for k, v in sorted(outcomes.items())))]


def damage_all(room: Path, count: int, seed: int, out: Path) -> None:
    whole, chance, outcomes = room / "none_whole", random.Random(seed), []
    right = {found.step: digest(found) for name in list_checkpoints(whole) for found in [restore(whole / name)]}
    for _ in range(count):
        copy, name = room / "damaged", chance.choice(["best", "latest", "epoch_3"])
        shutil.copytree(whole, copy, ignore=shutil.ignore_patterns("store"))
        folder = resolve(copy / name)
        paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.stat().st_size)
        spoil(chance.choice(paths), chance.choice(FAULTS), chance)
        try:
            found = restore(copy / name)
        except UserError:
            outcomes.append("refused, the file named")
        else:
            if digest(found) != right.get(found.step) or (name == "epoch_3" and found.path != folder):
                outcomes.append("SILENTLY WRONG")
            else:
                outcomes.append("read as it was (training's part)" if found.path == folder else "another one taken")
        shutil.rmtree(copy)
    out.write_text("\n".join(outcomes))


def spoil(path: Path, fault: str, chance: random.Random) -> None:
    data = bytearray(path.read_bytes())
    at = chance.randrange(len(data))
    if fault == "one bit":
        data[at] ^= 1 << chance.randrange(8)
    elif fault in ("a byte", "sixteen bytes"):
        for k in range(at, min(len(data), at + (16 if fault == "sixteen bytes" else 1))):
            data[k] ^= chance.randrange(1, 256)
    elif fault == "cut short":
        data = data[:at]
    if fault == "gone":
        path.unlink()
    else:
        path.write_bytes(b"" if fault == "emptied" else data)


def read_meanwhile(room: Path) -> list[tuple[str, int, str]]:
    """Read ``latest`` as fast as possible while two runs are trained: the same step must always be the same weights."""
    path, stop = room / "read.txt", room / "stop"

    def read() -> None:
        seen: dict[int, str] = {}
        reads = 0
        while not stop.exists():
            for run in (room / "read_0", room / "read_1"):
                if list_checkpoints(run):
                    found = restore(run / "latest")
                    assert seen.setdefault(found.step, digest(found)) == digest(found) and not found.unfinished
                    reads += 1
        path.write_text(f"{reads} {len(seen)}")

    reader = fork(room / "read", read)
    trained = [wait(start(room, "none", room / name)) for name in ("read_0", "read_1")]
    stop.touch()
    failed = wait(reader) or any(trained)
    reads, steps = path.read_text().split() if path.exists() else ("0", "0")
    outcome = said(room / "read")[-200:] if failed else f"{steps} different steps, each always with the same weights"
    return [("reads of latest while it is trained", int(reads), outcome)]


def facts(run: Path) -> tuple:
    """What a run amounts to: each name's step, scores and weights, the files there are, the validations."""
    found = {name: restore(run / name) for name in list_checkpoints(run)}
    weights = {name: (found.step, sorted(found.metrics.items()), digest(found)) for name, found in found.items()}
    validations = [line for line in read_metrics(run) if "validation/mape" in line]
    return weights, sorted(os.listdir(run / "checkpoints")), validations


def compare(run: Path, whole: Path) -> None:
    assert facts(run) == facts(whole), f"{facts(run)}\n{facts(whole)}"


def check_readable(run: Path) -> None:
    for name in list_checkpoints(run):
        restore(run / name)


def digest(found) -> str:
    """Of all that a prediction is made with."""
    leaves = jax.tree_util.tree_leaves_with_path(found.variables)
    return hashlib.sha256(
        b"".join(f"{path}".encode() + np.asarray(leaf).tobytes() for path, leaf in leaves)
    ).hexdigest()


def time_steps(room: Path, base: str) -> float:
    """Seconds from the first step of an uninterrupted run to its end, with all compiled before."""
    run = room / f"{base}_timed"
    process = start(room, base, run)
    wait_for_steps(process, run)
    begun = time.monotonic()
    assert wait(process) == 0, said(run)
    return time.monotonic() - begun


def start(room: Path, base: str, run: Path) -> int:
    arguments = ["--config", f"{room}/{base}.toml", "--data", f"{room}/data", "--run", str(run)]
    return fork(run, lambda: train(arguments))


def fork(run: Path, work: Callable[[], int | None]) -> int:
    """The id of a process that does ``work``; what it says goes beside ``run``. JAX is first used after the fork."""
    process = os.fork()
    if process:
        return process
    with run.with_name(f"{run.name}.log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        code = 1
        try:
            code = work() or 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)


def wait(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def said(run: Path) -> str:
    return run.with_name(f"{run.name}.log").read_text()


def wait_for_steps(process: int, run: Path) -> bool:
    """Until the first step: the figures are then rewritten. Whether the process ended first."""

    def mark() -> int:
        return os.stat(run / "metrics.jsonl").st_ino if (run / "metrics.jsonl").exists() else 0

    before = mark()
    while mark() == before:
        if ended_within(process, 0.005):
            return True
    return False


def ended_within(process: int, seconds: float) -> bool:
    """The process is left to be waited for."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return True
        time.sleep(0.002)
    return False


if __name__ == "__main__":
    main()
