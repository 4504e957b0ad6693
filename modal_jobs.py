"""The pipeline on Modal: `modal run modal_jobs.py`, or stage by stage, `modal run modal_jobs.py::train --run demo`.

Nothing is computed here: each function takes a machine, calls a stage of ``jax_inversion.remote.stages`` and commits
the volume. Read from the environment of the `modal` command: SPEED_GPU ("H100", or several in order of preference; also
"H100:2"), WANDB_API_KEY, SPEED_WANDB_SECRET (the name of a Modal secret that holds it).
"""

import contextlib
import importlib
import os
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import modal

from jax_inversion.errors import UserError
from jax_inversion.remote import endings, places
from jax_inversion.remote import volume as disk
from jax_inversion.remote.machines import CHUNK, MACHINES, SHARD, Machine, gpu_list
from jax_inversion.remote.machines import plan as plan_of
from jax_inversion.remote.sharing import fan_out, gather

HERE = Path(__file__).resolve().parent
CONFIG = "configs/challenge.toml"
endings.hide_tracebacks()
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
EXTRAS = ("cuda", "wandb", "modal")
GPUS = gpu_list(os.environ.get("SPEED_GPU", ""))
FROM_HERE = ("WANDB_API_KEY", "SPEED_ALLOW_CPU", "SPEED_GPU")

app = modal.App("jax-inversion")
volume = modal.Volume.from_name(disk.NAME, create_if_missing=True)
image = (
    modal.Image.debian_slim(python_version="3.12")
    .uv_pip_install(
        *PROJECT["dependencies"], *(need for extra in EXTRAS for need in PROJECT["optional-dependencies"][extra])
    )
    .env({"PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "Agg"})
    .add_local_dir(HERE / "jax_inversion", "/root/jax_inversion", ignore=["**/__pycache__"])  # with its data
    .add_local_dir(HERE / "configs", "/root/configs")
    .add_local_file(HERE / "pyproject.toml", "/root/pyproject.toml")
)
# Two secrets on every machine, whatever is set: Modal wants as many objects in the container as here.
secrets = [
    modal.Secret.from_dict({key: os.environ[key] for key in FROM_HERE if os.environ.get(key)}),
    modal.Secret.from_name(name) if (name := os.environ.get("SPEED_WANDB_SECRET")) else modal.Secret.from_dict({}),
]


def on(machine: Machine) -> dict[str, Any]:
    """What ``app.function`` is told. A fresh container for every input sees all that was committed before."""
    again = modal.Retries(max_retries=machine.attempts - 1, initial_delay=1.0) if machine.attempts > 1 else None
    return {
        "image": image,
        "volumes": {disk.MOUNT: volume},
        "secrets": secrets,
        "cpu": machine.cpu,
        "memory": machine.memory_gib * 1024,
        "timeout": round(machine.limit_h * 3600),
        "startup_timeout": 1800,
        "gpu": GPUS if machine.gpu else None,
        "retries": again,
        "max_containers": machine.containers if machine.containers > 1 else None,
        "nonpreemptible": not machine.preemptible,
        "single_use_containers": True,
    }


@contextlib.contextmanager
def at_work(stage: str, module: str = "stages") -> Iterator[tuple[Path, ModuleType]]:
    """The volume's folder and the stages; committed at the end. A user's mistake ends it in one line, for good."""
    try:
        with disk.at_work(stage) as root, endings.in_one_line():
            yield root, importlib.import_module(f"jax_inversion.remote.{module}")
    finally:
        commit()


def commit() -> None:
    """Commit the volume. Modal then reloads it, which it refuses while files are open, as the packed samples are."""
    try:
        volume.commit()
    except RuntimeError as error:  # what was written is committed by then, and nothing here needs the reload
        if "open files" not in str(error):
            raise


@app.local_entrypoint()
def main(
    config: str = CONFIG,
    run: str = "",
    overrides: str = "",
    data: str = "",
    simulated: bool = False,
    plan: bool = False,
):
    """Analyze, train or resume, predict, score, report: the whole pipeline. Again, it goes on where it was."""
    if plan:
        return print_plan(config, overrides, simulated)
    pipeline.spawn(config, run, overrides, data, simulated).get()


def print_plan(config: str, overrides: str, simulated: bool) -> None:
    """Needs the package's own dependencies here, for it reads the preset."""
    try:
        from jax_inversion.remote.settings import settings
    except ModuleNotFoundError as error:
        raise UserError(f"--plan reads the preset, which needs {error.name} here: pip install -e .") from None
    chosen = settings(disk.Listing(volume), config, overrides)
    counts = {"train": chosen.simulate.train_count, "test": chosen.simulate.test_count} if simulated else None
    how_long = {"epochs": chosen.train.epochs, "members": chosen.total_members}
    print(plan_of(**how_long, gpus=GPUS, samples=counts, simulated=simulated))


@app.function(**on(MACHINES["pipeline"]))
def pipeline(config: str = CONFIG, run: str = "", overrides: str = "", data: str = "", simulated: bool = False):
    """All stages in order, each on its own machine."""
    with endings.in_one_line():
        from jax_inversion.remote import checks

        run = places.run_name(run, config)
        checks.before_pipeline(disk.root(), config, run, overrides, data, simulated)
        if simulated:
            data = f"models/{run}/data"
            with at_work("pipeline") as (root, stages):
                sets = stages.simulated_sets(root, config, run, overrides)
            for options in sets:
                fan_out(simulate_shard, MACHINES["simulate_shard"].price(GPUS), options, config, overrides)
        analyze_data.remote(data, config, run)
        prepare.remote(config, run, overrides, data)
        train.remote(config, run, overrides, data)
        generate_submission.remote(run, data)
        finish.remote(run, data)


@app.function(**on(MACHINES["check"]))
def check(stage: str, options: dict) -> None:
    """Look at what a stage will go on, where the client could not: it lacks the package's own dependencies."""
    with endings.in_one_line():
        from jax_inversion.remote import checks

        checks.before(stage, disk.root(), options)


@app.function(**on(MACHINES["unpack"]))
def unpack(archive: str, into: Literal["train", "test"] = "train"):
    """Unpack a zip file of the challenge that `modal volume put` brought to the volume."""
    with at_work("unpack") as (root, stages):
        stages.unpack(root, archive, into)


@app.function(**on(MACHINES["analyze_data"]))
def analyze_data(data: str = "", config: str = "", run: str = ""):
    """Counts, shapes, ranges, bad samples of train and test; figures to the volume."""
    with at_work("analyze_data") as (root, stages):
        stages.analyze(root, data, config, run)


@app.function(**on(MACHINES["prepare"]))
def prepare(config: str = CONFIG, run: str = "", overrides: str = "", data: str = ""):
    """Pack the training samples for a run on a machine without a GPU; train does it itself where it was not done."""
    with at_work("prepare") as (root, stages):
        stages.prepare(root, config, places.run_name(run, config), overrides, data)


@app.function(**on(MACHINES["train"]))
def train(config: str = CONFIG, run: str = "", overrides: str = "", data: str = ""):
    """Train a run, or go on with it."""
    with at_work("train") as (root, stages):
        stages.train(root, config, places.run_name(run, config), overrides, data, commit)


@app.function(**on(MACHINES["train"]))
def train_sota_model(config: str = CONFIG, run: str = "", overrides: str = "", data: str = ""):
    """The former name of train, which it is."""
    print("train_sota_model is called train here")
    train.local(config, run, overrides, data)


@app.function(**on(MACHINES["train"]))
def resume(run: str, overrides: str = "", data: str = ""):
    """Go on with a run that is on the volume, with its own settings and these changes."""
    with at_work("resume") as (root, stages):
        stages.resume(root, run, overrides, data, commit)


@app.function(**on(MACHINES["generate_submission"]))
def generate_submission(run: str = Path(CONFIG).stem, data: str = "", overrides: str = ""):
    """A submission from a run's best checkpoint."""
    with at_work("generate_submission", "submissions") as (root, submissions):
        submissions.submit(root, run, "best", data, overrides)


@app.function(**on(MACHINES["generate_submission"]))
def generate_submission_from_checkpoint(
    checkpoint_name: str, run: str = Path(CONFIG).stem, data: str = "", overrides: str = ""
):
    """A submission from the checkpoint epoch_10, latest or best."""
    with at_work("generate_submission", "submissions") as (root, submissions):
        submissions.submit(root, run, checkpoint_name, data, overrides)


@app.function(**on(MACHINES["infer_sharded"]))
def infer_sharded(
    run: str = Path(CONFIG).stem, checkpoint_name: str = "best", data: str = "", overrides: str = "", chunk: int = CHUNK
) -> None:
    """A submission predicted by several GPUs side by side, --chunk samples each, then merged and checked."""
    with at_work("infer_sharded", "submissions") as (root, submissions):
        asked, parts = submissions.parts(root, run, checkpoint_name, data, overrides, chunk)
    with endings.in_one_line():
        pieces = gather(infer_chunk, asked, parts, "predicting")
        merge.remote(asked, pieces)


@app.function(**on(MACHINES["infer_chunk"]))
def infer_chunk(asked: Any, start: int, stop: int) -> str:
    """Some of the test samples on one GPU; the path of the piece."""
    with at_work("infer_chunk", "submissions") as (root, submissions):
        return submissions.infer_part(root, asked, start, stop)


@app.function(**on(MACHINES["refine"]))
def refine(
    run: str = Path(CONFIG).stem, checkpoint_name: str = "best", data: str = "", overrides: str = "", chunk: int = CHUNK
) -> None:
    """A run's predictions corrected by waveform inversion on several machines, --chunk samples each, then merged."""
    with at_work("refine", "refining") as (root, refining):
        asked, parts = refining.parts(root, run, checkpoint_name, data, overrides, chunk)
    with endings.in_one_line():
        pieces = gather(refine_chunk, asked, parts, "refining")
        merge.remote(asked, pieces, "refining")


@app.function(**on(MACHINES["refine_chunk"]))
def refine_chunk(asked: Any, start: int, stop: int) -> str:
    """Some of the test samples on the cores of one machine; the path of the piece."""
    with at_work("refine_chunk", "refining") as (root, refining):
        return refining.refine_part(root, asked, start, stop, round(MACHINES["refine_chunk"].cpu))


@app.function(**on(MACHINES["score"]))
def merge(asked: Any, pieces: list, module: str = "submissions") -> None:
    """One checked submission of the pieces, predicted or refined."""
    with at_work("merge", module) as (root, stages):
        stages.merge(root, asked, pieces)


@app.function(**on(MACHINES["score"]))
def score(run: str = Path(CONFIG).stem, submission: str = "", truth: str = ""):
    """Score a submission (that of the run's best checkpoint, or a file of the volume) against the truth there."""
    with at_work("score") as (root, stages):
        stages.score(root, run, submission, truth)


@app.function(**on(MACHINES["score"]))
def finish(run: str = Path(CONFIG).stem, data: str = ""):
    """The pipeline's last stage: scores where the truth is known, and the report."""
    with at_work("finish") as (root, stages):
        stages.finish(root, run, data)


@app.function(**on(MACHINES["simulate"]))
def simulate(
    count: int,
    geology: str = "marine",
    out: str = "simulated/train",
    seed: int | None = None,
    start: int = 0,
    shard: int = SHARD,
    machine: Literal["cpu", "gpu"] = "cpu",
    config: str = "",
    overrides: str = "",
):
    """Simulated samples, --shard a container; the same command again makes what is missing."""
    with endings.in_one_line():
        from jax_inversion.remote import checks

        seed = places.seed_of(out) if seed is None else seed
        options = {"out": out, "count": count, "start": start, "seed": seed, "geology": geology, "truth": True}
        checks.before_simulating(disk.root(), options, shard, config, overrides)
        stage = simulate_shard_gpu if machine == "gpu" else simulate_shard
        price = MACHINES["simulate_shard_gpu" if machine == "gpu" else "simulate_shard"].price(GPUS)
        fan_out(stage, price, options, config, overrides, shard)
    print(disk.fetch_command(places.inside(disk.root(), out, "out"), disk.root()))


@app.function(**on(MACHINES["simulate_shard"]))
def simulate_shard(options: dict, config: str, overrides: str) -> tuple[int, float]:
    """Some samples on the cores of one machine; how many were new, seconds."""
    with at_work("simulate_shard") as (root, stages):
        return stages.simulate_part(root, options, config, overrides, round(MACHINES["simulate_shard"].cpu))


@app.function(**on(MACHINES["simulate_shard_gpu"]))
def simulate_shard_gpu(options: dict, config: str, overrides: str) -> tuple[int, float]:
    """Some samples on one GPU; how many were new, seconds."""
    with at_work("simulate_shard_gpu") as (root, stages):
        stages.need_gpu()
        return stages.simulate_part(root, options, config, overrides, 1)


if "modal.cli.run" in sys.modules:  # the `modal` command is what imports this
    from jax_inversion.remote import client

    client.improve(volume, check)

if __name__ == "__main__":
    if sys.argv[1:]:
        print("error: this takes no options; `modal run modal_jobs.py --plan` does", file=sys.stderr)
        sys.exit(2)
    print_plan(CONFIG, "", False)
