"""The stages on a volume: which of its folders a front door gets, and where the results go. No other logic.

``root`` is where the volume is mounted, every other path is relative to it. A run's folder is models/<run>; what a user
downloads is put in results/<run>.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import modal

from .. import analyze as analyze_door
from .. import config as configs
from .. import pipeline as pipeline_door
from .. import train as train_door
from ..errors import UserError
from ..files import write_aside
from ..inference import scores as scoring
from ..runs import Run
from ..score import score as score_submission
from ..simulate import simulate as simulate_samples
from ..training import restore
from .gpu import need_gpu
from .lease import sole_trainer
from .places import COMMAND, data_folder, inside, run_folder, run_name
from .settings import settings
from .submissions import publish, submission_of_best
from .unpack import unpack as unpack_zip
from .volume import NAME, fetch_command


def unpack(root: Path, archive: str, into: str) -> None:
    """A zip file of the challenge into train/ or test/."""
    print(f"{into}/: {unpack_zip(inside(root, archive, 'archive'), root / into)} samples of {archive}")
    print(f"the zip file is no longer needed:  modal volume rm {NAME} {archive}")


def analyze(root: Path, data: str, config: str, run: str) -> None:
    """Counts, ranges, faults and figures of train and test; where ``run`` is named they are its own, and made once."""
    folder, chosen = data_folder(root, data, run), settings(root, config)
    if run:
        place = Run(root / "models" / run_name(run))
        pipeline_door.analyzed(chosen, place, folder)
        out = place.data_figures
    else:
        out = root / "results" / "analysis"
        said, _ = analyze_door.analyze(folder, out, chosen.survey)
        print(said)
    print(fetch_command(out, root))


def prepare(root: Path, config: str, run: str, overrides: str, data: str) -> None:
    """Pack the training samples, which needs no GPU."""
    folder, place = data_folder(root, data, run, "train"), Run(root / "models" / run)
    store = train_door.open_store(settings(root, config, overrides, folder), folder, place)
    print(f"{run}: {len(store.ids)} samples packed in {place.store.relative_to(root)}; next: {COMMAND}train ", end="")
    print(f"--run {run} with the same --config, --data and --overrides")


def train(root: Path, config: str, run: str, overrides: str, data: str, commit: Callable[[], None]) -> None:
    """Train or go on with a run, unless another call does; ``commit`` is called after each checkpoint."""
    folder = data_folder(root, data, run, "train")
    need_gpu()
    place = root / "models" / run
    with sole_trainer(place, modal.current_function_call_id(), commit) as kept:
        train_door.train(settings(root, config, overrides, folder), folder, place, on_checkpoint=kept)
    best = restore(place).path
    print(f"{run}: trained; best checkpoint {best.relative_to(root)}; next: {COMMAND}generate_submission --run {run}")
    print(fetch_command(best, root))


def resume(root: Path, run: str, overrides: str, data: str, commit: Callable[[], None]) -> None:
    """Go on with a run that is there, with its own settings."""
    config = run_folder(root, run) / "config.toml"
    train(root, str(config), run, overrides, data, commit)


def simulated_sets(root: Path, config: str, run: str, overrides: str) -> list[dict[str, Any]]:
    """What the pipeline simulates for a run: options of ``simulate``, paths relative to the volume."""
    sets = pipeline_door.simulated_sets(settings(root, config, overrides), Run(Path("models") / run).data)
    return [{k: str(v) if isinstance(v, Path) else v for k, v in options.items()} for options in sets]


def simulate_part(root: Path, options: dict[str, Any], config: str, overrides: str, workers: int) -> tuple[int, float]:
    """Some samples of a set, as ``simulate`` makes them; (how many were new, seconds)."""
    chosen = settings(root, config, overrides)
    out, truth = inside(root, options.pop("out"), "out"), options.pop("truth")
    truth = truth if isinstance(truth, bool) else inside(root, truth, "truth")
    begun, there = time.monotonic(), _count(out)
    simulate_samples(out, **options, truth=truth, workers=workers, survey=chosen.survey, simulator=chosen.simulator)
    return _count(out) - there, time.monotonic() - begun


def score(root: Path, run: str, submission: str, truth: str) -> None:
    """Score a submission, that of the run's best checkpoint unless one is named, against the truth on the volume."""
    place = run_folder(root, run)
    path = inside(root, submission, "submission") if submission else submission_of_best(place, run)
    results = root / "results" / run
    survey = configs.load(Run(place).config).survey
    folder = inside(root, truth, "truth") if truth else data_folder(root, "", run, "truth")
    scores = score_submission(folder, path, survey=survey, figures=results / "figures")
    print(f"{path.name}\n{scoring.text(scores)}")
    with write_aside(results / f"{path.stem}_scores.json") as aside:
        aside.write_text(json.dumps(scores, indent=1) + "\n")
    print(fetch_command(results, root))


def finish(root: Path, run: str, data: str) -> None:
    """What is left of the pipeline after the submission: scores where the truth is known, and the report."""
    place = Run(run_folder(root, run))
    done, wanted = restore(place.path / "latest").epoch, configs.load(place.config).train.epochs
    if done < wanted:  # this machine has no GPU to do it
        raise UserError(f"{run}: {done} of {wanted} epochs are trained; {COMMAND}resume --run {run}")
    submission_of_best(place.path, run)
    try:
        pipeline_door.finish(place, data_folder(root, data, run, "test"))
    except UserError as error:
        raise UserError(f"{error}; to predict: {COMMAND}generate_submission --run {run}") from None
    publish(root, run, *(path for path in (place.report, place.scores) if path.exists()))


def _count(folder: Path) -> int:
    return sum(1 for path in folder.glob("[!.]*") if path.is_dir())
