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
from . import checks
from .checks import infer_words
from .places import COMMAND, checkpoint, data_folder, inside, run_folder, run_name
from .settings import settings
from .unpack import unpack as unpack_zip
from .volume import NAME, fetch_command


def need_gpu() -> None:
    """``UserError`` where JAX sees no GPU, unless SPEED_ALLOW_CPU is set; says which GPUs one stage leaves idle."""
    backend = jax.default_backend()
    if backend != "gpu" and not os.environ.get("SPEED_ALLOW_CPU"):
        raise UserError(f"JAX runs on {backend}, not on a GPU; SPEED_ALLOW_CPU=1 lets it, very slowly")
    if jax.device_count() > 1:
        print(f"note: {jax.device_count()} GPUs here; one is used, the others stand idle")


def unpack(root: Path, archive: str, into: str) -> None:
    """A zip file of the challenge into train/ or test/."""
    print(f"{into}/: {unpack_zip(inside(root, archive, 'archive'), root / into)} samples of {archive}")
    print(f"the zip file is no longer needed:  modal volume rm {NAME} {archive}")


def analyze(root: Path, data: str, config: str, run: str) -> None:
    """Counts, ranges, faults and figures of train and test; the figures join those of ``run`` where one is named."""
    run = run and run_name(run)
    folder = data_folder(root, data, run)
    out = root / (f"models/{run}/figures/data" if run else "results/analysis")
    survey = _survey(root, config)
    print(analyze_door.text(analyze_door.analyze(folder, out, survey), survey))
    print(fetch_command(out, root))


def prepare(root: Path, config: str, run: str, overrides: str, data: str) -> None:
    """Pack the training samples, which needs no GPU."""
    folder = data_folder(root, data, run, "train")
    place = root / "models" / run
    store = train_door.open_store(settings(root, config, overrides, folder), folder, place)
    print(
        f"{run}: {len(store.ids)} samples packed in {(place / 'store').relative_to(root)}; next: {COMMAND}train", end=""
    )
    print(f" --run {run} with the same --config, --data and --overrides")


def train(root: Path, config: str, run: str, overrides: str, data: str, commit: Callable[[], None]) -> None:
    """Train or go on with a run; ``commit`` is called after each checkpoint."""
    folder = data_folder(root, data, run, "train")
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
    config = run_folder(root, run) / "config.toml"
    train(root, str(config), run, overrides, data, commit)


def submit(root: Path, run: str, checkpoint_name: str, data: str, overrides: str = "") -> None:
    """A submission from the checkpoint ``best``, ``latest`` or ``epoch_10`` of a run."""
    place, name = run_folder(root, run), _checkpoint(checkpoint_name)
    need_gpu()
    folder = data_folder(root, data, run, "test")
    path = infer_door.infer(place / name, folder, uncertainty=True, overrides=infer_words(overrides))
    _publish_submission(root, run, name, path)


def parts(root: Path, run: str, checkpoint_name: str, data: str, overrides: str, chunk: int) -> list[tuple[int, int]]:
    """Start and stop of the parts that containers predict side by side; ``UserError`` where they would end with one."""
    checks.before_predicting(root, run, data, overrides, checkpoint_name)
    ranges = infer_door.parts(
        run_folder(root, run) / _checkpoint(checkpoint_name), data_folder(root, data, run, "test"), chunk
    )
    return [(part.start, part.stop) for part in ranges]


def infer_part(root: Path, run: str, checkpoint_name: str, data: str, overrides: str, start: int, stop: int) -> str:
    """Predict some of the test samples; returns the piece's path. One that is there already is taken as it is."""
    need_gpu()
    place, name = run_folder(root, run), checkpoint(checkpoint_name)
    ckpt = infer_door.restore(place / name)
    piece = place / "parts" / f"epoch_{ckpt.epoch}_step_{ckpt.step}" / f"{start:06d}_{stop:06d}.npz"
    if not piece.exists():
        folder = data_folder(root, data, run, "test")
        infer_door.infer(place / name, folder, piece, part=range(start, stop), overrides=infer_words(overrides))
    return str(piece.relative_to(root))


def merge(root: Path, run: str, checkpoint_name: str, data: str, overrides: str, pieces: Sequence[str]) -> None:
    """One checked submission of all pieces, which are then removed."""
    place, name = run_folder(root, run), checkpoint(checkpoint_name)
    epoch = infer_door.restore(place / name).epoch
    out = place / f"submission_epoch_{epoch}.npz"
    folder = data_folder(root, data, run, "test")
    infer_door.merge([root / piece for piece in pieces], out, place / name, folder)
    for stale in (place, root / "results" / run):  # parts are predicted without the spread
        infer_door.spread_path(stale / out.name).unlink(missing_ok=True)
    shutil.rmtree(place / "parts")
    print(f"{len(pieces)} parts merged and checked")
    _publish_submission(root, run, name, out)


def simulated_sets(root: Path, config: str, run: str, overrides: str) -> list[dict[str, Any]]:
    """What the pipeline simulates for a run: options of ``simulate``, paths relative to the volume."""
    sets = pipeline_door.simulated_sets(settings(root, config, overrides), Path("models") / run / "data")
    return [{k: str(v) if isinstance(v, Path) else v for k, v in options.items()} for options in sets]


def simulate_part(root: Path, options: dict[str, Any], config: str, workers: int) -> tuple[int, float]:
    """Some samples of a set, as ``simulate`` makes them; (how many were new, seconds)."""
    out, truth = inside(root, options.pop("out"), "out"), options.pop("truth")
    begun = time.monotonic()
    there = _count(out)
    truth = truth if isinstance(truth, bool) else inside(root, truth, "truth")
    simulate_door.simulate(out, **options, truth=truth, workers=workers, survey=_survey(root, config))
    return _count(out) - there, time.monotonic() - begun


def score(root: Path, run: str, submission: str, truth: str) -> None:
    """Score a submission, that of the run's best checkpoint unless one is named, against the truth on the volume."""
    place = run_folder(root, run)
    path = inside(root, submission, "submission") if submission else _submission_of_best(place, run)
    results = root / "results" / run
    survey = configs.load(place / "config.toml").survey
    folder = inside(root, truth, "truth") if truth else data_folder(root, "", run, "truth")
    scores = score_door.score(folder, path, survey=survey, figures=results / "figures")
    print(f"{path.name}\n{score_door.text(scores)}")
    with write_aside(results / f"{path.stem}_scores.json") as aside:
        aside.write_text(json.dumps(scores, indent=1) + "\n")
    print(fetch_command(results, root))


def finish(root: Path, run: str, data: str) -> None:
    """What is left of the pipeline after the submission: scores where the truth is known, and the report."""
    place = run_folder(root, run)
    config = configs.load(place / "config.toml")
    if (done := infer_door.restore(place / "latest").epoch) < config.train.epochs:  # this machine has no GPU to do it
        raise UserError(f"{run}: {done} of {config.train.epochs} epochs are trained; {COMMAND}resume --run {run}")
    _submission_of_best(place, run)
    pipeline_door.pipeline(config, place, data_folder(root, data, run, "train"))
    _publish(root, run, *(path for path in (place / "report.html", place / "scores.json") if path.exists()))


def _submission_of_best(place: Path, run: str) -> Path:
    best = infer_door.restore(place).epoch
    path = place / f"submission_epoch_{best}.npz"
    if not path.exists():
        raise UserError(f"{run}: no submission of its best epoch, {best}; {COMMAND}generate_submission --run {run}")
    return path


def _publish_submission(root: Path, run: str, checkpoint_name: str, path: Path) -> None:
    """The submission and, where there is one, its spread; that of the best checkpoint is submission.npz too."""
    spread = infer_door.spread_path(path)
    if checkpoint_name == "best":
        with write_aside(root / "results" / run / "submission.npz") as aside:
            shutil.copyfile(path, aside)
        print(f"{run}: results/{run}/submission.npz")
    _publish(root, run, path, *([spread] if spread.exists() else []))


def _checkpoint(name: str) -> str:
    """A checkpoint's name of today; says where that is another one."""
    if (new := checkpoint(name)) != name:
        print(f"{name} is called {new} here")
    return new


def _publish(root: Path, run: str, *paths: Path) -> None:
    results = root / "results" / run
    for path in paths:
        with write_aside(results / path.name) as aside:
            shutil.copyfile(path, aside)
        print(f"{run}: {(results / path.name).relative_to(root)}")
    print(fetch_command(results, root))


def _survey(root: Path, config: str) -> Survey:
    return settings(root, config).survey if config else CHALLENGE


def _count(folder: Path) -> int:
    return sum(1 for path in folder.glob("[!.]*") if path.is_dir())
