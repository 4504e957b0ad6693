"""The stages on a volume: which of its folders a front door gets, and where the results go. No other logic.

``root`` is where the volume is mounted, every other path is relative to it. A run's folder is models/<run>; what a user
downloads is put in results/<run>.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from .. import analyze as analyze_door
from .. import config as configs
from .. import infer as infer_door
from .. import pipeline as pipeline_door
from .. import score as score_door
from .. import simulate as simulate_door
from .. import train as train_door
from ..errors import UserError
from ..files import write_aside
from ..survey import CHALLENGE, Survey
from ..training import Diverged
from .settings import settings
from .volume import NAME, fetch_command

EMPTY = (
    f"the volume {NAME} has no {{split}} samples (looked in {{places}}). Upload the challenge's: "
    f"`modal volume put {NAME} {{split}}.zip /`, then `modal run modal_jobs.py::unpack --archive {{split}}.zip --into "
    "{split}`; or make some: `modal run modal_jobs.py::simulate --count 1000 --out {split}`, or all of it with "
    "`modal run modal_jobs.py --simulated`"
)
NO_TRUTH = (
    f"the volume {NAME} has no true models (looked in {{places}}): name a folder that has them with --truth, or upload "
    f"one with `modal volume put {NAME} truth /truth`"
)
COMMAND = "modal run modal_jobs.py::"


def need_gpu() -> None:
    """``UserError`` where JAX sees no GPU, unless SPEED_ALLOW_CPU is set; says which GPUs one stage leaves idle."""
    backend = jax.default_backend()
    if backend != "gpu" and not os.environ.get("SPEED_ALLOW_CPU"):
        raise UserError(f"JAX runs on {backend}, not on a GPU; SPEED_ALLOW_CPU=1 lets it, very slowly")
    if jax.device_count() > 1:
        print(f"note: {jax.device_count()} GPUs here; one is used, the others stand idle")


def analyze(root: Path, data: str, config: str, run: str) -> None:
    """Counts, ranges, faults and figures of train and test; the figures join those of ``run`` where one is named."""
    folder = _data(root, data, run)
    out = root / (f"models/{run}/figures/data" if run else "results/analysis")
    survey = _survey(root, config)
    print(analyze_door.text(analyze_door.analyze(folder, out, survey), survey))
    print(fetch_command(out, root))


def prepare(root: Path, config: str, run: str, overrides: str, data: str) -> None:
    """Pack the training samples, which needs no GPU."""
    folder = _data(root, data, run, "train")
    place = root / "models" / run
    store = train_door.open_store(settings(root, config, overrides, folder), folder, place)
    print(
        f"{run}: {len(store.ids)} samples packed in {(place / 'store').relative_to(root)}; next: {COMMAND}train", end=""
    )
    print(f" --run {run} with the same --config, --data and --overrides")


def train(root: Path, config: str, run: str, overrides: str, data: str, commit: Callable[[], None]) -> None:
    """Train or go on with a run; ``commit`` is called after each checkpoint."""
    folder = _data(root, data, run, "train")
    need_gpu()
    place = root / "models" / run
    try:
        train_door.train(settings(root, config, overrides, folder), folder, place, on_checkpoint=commit)
    except Diverged as error:  # another attempt would end the same way
        raise UserError(str(error)) from None
    best = (place / "checkpoints" / "best").relative_to(root)
    print(f"{run}: trained; best checkpoint {best}; next: {COMMAND}generate_submission --run {run}")
    print(fetch_command(place / "checkpoints" / "best", root))


def resume(root: Path, run: str, overrides: str, data: str, commit: Callable[[], None]) -> None:
    """Go on with a run that is there, with its own settings."""
    config = _run(root, run) / "config.toml"
    train(root, str(config), run, overrides, data, commit)


def submit(root: Path, run: str, checkpoint: str, data: str) -> None:
    """A submission from the checkpoint ``best``, ``latest`` or ``epoch_10`` of a run."""
    place = _run(root, run)
    need_gpu()
    folder = _data(root, data, run, "test")
    path = infer_door.infer(place / checkpoint, folder, uncertainty=True)
    _publish(root, run, path, infer_door.spread_path(path))


def parts(root: Path, run: str, checkpoint: str, data: str, chunk: int) -> list[tuple[int, int]]:
    """Start and stop of the parts that containers predict side by side."""
    ranges = infer_door.parts(_run(root, run) / checkpoint, _data(root, data, run, "test"), chunk)
    return [(part.start, part.stop) for part in ranges]


def infer_part(root: Path, run: str, checkpoint: str, data: str, start: int, stop: int) -> str:
    """Predict some of the test samples; returns the piece's path. One that is there already is taken as it is."""
    need_gpu()
    place = _run(root, run)
    ckpt = infer_door.restore(place / checkpoint)
    piece = place / "parts" / f"epoch_{ckpt.epoch}_step_{ckpt.step}" / f"{start:06d}_{stop:06d}.npz"
    if not piece.exists():
        folder = _data(root, data, run, "test")
        infer_door.infer(place / checkpoint, folder, piece, part=range(start, stop))
    return str(piece.relative_to(root))


def merge(root: Path, run: str, checkpoint: str, data: str, pieces: Sequence[str]) -> None:
    """One checked submission of all pieces, which are then removed."""
    place = _run(root, run)
    epoch = infer_door.restore(place / checkpoint).epoch
    out = place / f"submission_epoch_{epoch}.npz"
    folder = _data(root, data, run, "test")
    infer_door.merge([root / piece for piece in pieces], out, place / checkpoint, folder)
    for stale in (place, root / "results" / run):  # parts are predicted without the spread
        infer_door.spread_path(stale / out.name).unlink(missing_ok=True)
    shutil.rmtree(place / "parts")
    print(f"{len(pieces)} parts merged and checked")
    _publish(root, run, out)


def simulated_sets(root: Path, config: str, run: str, overrides: str) -> list[dict[str, Any]]:
    """What the pipeline simulates for a run: options of ``simulate``, paths relative to the volume."""
    sets = pipeline_door.simulated_sets(settings(root, config, overrides), Path("models") / run / "data")
    return [{k: str(v) if isinstance(v, Path) else v for k, v in options.items()} for options in sets]


def simulate_part(root: Path, options: dict[str, Any], config: str, workers: int) -> tuple[int, float]:
    """Some samples of a set, as ``simulate`` makes them; (how many were new, seconds)."""
    out, truth = root / options.pop("out"), options.pop("truth")
    begun = time.monotonic()
    there = _count(out)
    truth = truth if isinstance(truth, bool) else root / truth
    simulate_door.simulate(out, **options, truth=truth, workers=workers, survey=_survey(root, config))
    return _count(out) - there, time.monotonic() - begun


def score(root: Path, run: str, submission: str, truth: str) -> None:
    """Score a submission, the run's newest unless one is named, against the truth on the volume."""
    place = _run(root, run)
    found = sorted(place.glob("submission_epoch_*[0-9].npz"), key=lambda path: path.stat().st_mtime)
    if not (submission or found):
        raise UserError(f"{run} has no submission yet; {COMMAND}generate_submission --run {run}")
    path = root / submission if submission else found[-1]
    results = root / "results" / run
    survey = configs.load(place / "config.toml").survey
    folder = root / truth if truth else _data(root, "", run, "truth")
    scores = score_door.score(folder, path, survey=survey, figures=results / "figures")
    print(f"{path.name}\n{score_door.text(scores)}")
    with write_aside(results / f"{path.stem}_scores.json") as aside:
        aside.write_text(json.dumps(scores, indent=1) + "\n")
    print(fetch_command(results, root))


def finish(root: Path, run: str, data: str) -> None:
    """What is left of the pipeline after the submission: scores where the truth is known, and the report."""
    place = _run(root, run)
    config = configs.load(place / "config.toml")
    done, best = infer_door.restore(place / "latest").epoch, infer_door.restore(place).epoch
    if done < config.train.epochs:  # this machine has no GPU to do it
        raise UserError(f"{run}: {done} of {config.train.epochs} epochs are trained; {COMMAND}resume --run {run}")
    if not (place / f"submission_epoch_{best}.npz").exists():
        raise UserError(f"{run}: no submission of its best epoch, {best}; {COMMAND}generate_submission --run {run}")
    pipeline_door.pipeline(config, place, _data(root, data, run, "train"))
    _publish(root, run, *(path for path in (place / "report.html", place / "scores.json") if path.exists()))


def _publish(root: Path, run: str, *paths: Path) -> None:
    results = root / "results" / run
    for path in paths:
        with write_aside(results / path.name) as aside:
            shutil.copyfile(path, aside)
        print(f"{run}: {(results / path.name).relative_to(root)}")
    print(fetch_command(results, root))


def _run(root: Path, run: str) -> Path:
    place = root / "models" / run
    if (place / "config.toml").is_file():
        return place
    there = sorted(path.parent.name for path in (root / "models").glob("*/config.toml"))
    raise UserError(f"no run {run!r} on the volume {NAME}; it has {', '.join(there) or 'none yet'}")


def _data(root: Path, data: str, run: str, split: str = "") -> Path:
    """The folder with ``split``/ (or any): ``data``, else what the run was trained with, its own, the volume's."""
    places = [root / data] if data else []
    if not places and run:
        config = root / "models" / run / "config.toml"
        known = configs.load(config).data.root if config.is_file() else ""
        places = [*([Path(known)] if known else []), root / "models" / run / "data"]
    places = list(dict.fromkeys([*places, *([] if data else [root])]))
    for place in places:
        for name in [split] if split else ["train", "test"]:
            if any((place / name).glob("*/*.npy")):
                return place
    looked = ", ".join(str(place / split) for place in places)
    raise UserError((NO_TRUTH if split == "truth" else EMPTY).format(split=split or "train", places=looked))


def _survey(root: Path, config: str) -> Survey:
    return settings(root, config).survey if config else CHALLENGE


def _count(folder: Path) -> int:
    return sum(1 for path in folder.glob("[!.]*") if path.is_dir())
