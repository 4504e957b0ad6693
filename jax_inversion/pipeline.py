"""``python -m jax_inversion.pipeline``: from nothing, or from data, to a scored submission and a report."""

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import config as configs
from .analyze import analyze
from .analyze import text as analysis_text
from .cli import front_door
from .config import Config
from .data.folders import Sample, find_samples, read_velocity
from .errors import UserError
from .files import write_aside
from .infer import decimated, infer
from .inference.scores import summarise, table, verdict
from .plots.report import report
from .regression import ridge
from .score import score
from .score import text as score_text
from .simulate import simulate
from .train import open_store, train
from .training import Restored, restore, split
from .training.step import resize_base


def pipeline(config: Config, run: Path, data: Path | None = None) -> dict[str, Any]:
    """Simulate (without ``data``), analyze, train, predict, score where the truth is known, and report, all in ``run``.

    Whatever an earlier call finished is not done again. Returns the scores by system, the ensemble's first; empty
    where no truth is known.
    """
    run.mkdir(parents=True, exist_ok=True)
    data = Path(data) if data else Path(config.data.root) if config.data.root else _simulated(config, run)
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, root=str(data)))
    if not (run / "figures" / "data").is_dir():
        _say("analyze")
        print(analysis_text(analyze(data, run / "figures" / "data", config.survey), config.survey))
    _say("train")
    train(config, data, run)
    _say("infer")
    restored = restore(run)
    submission = run / f"submission_epoch_{restored.epoch}.npz"
    if submission.exists() and submission.stat().st_mtime > restored.path.stat().st_mtime:
        print(f"{submission} is there already")
    else:
        infer(run, data, submission, uncertainty=True)
    systems = {}
    if (truth := data / "truth").is_dir():
        _say("score")
        systems = {"ensemble": score(truth, submission, survey=config.survey, figures=run / "figures")}
        systems |= dict(_yardsticks(restored, config, data, run))
        with write_aside(run / "scores.json") as aside:
            aside.write_text(json.dumps(systems))
        print(score_text(systems["ensemble"]))
        for row in table(systems):
            print("".join(f"{cell:<18}" for cell in row))
        print("\n".join(verdict(systems)))
    print(f"report: {report(run)}")
    return systems


def _simulated(config: Config, run: Path) -> Path:
    """RUN/data with train/, test/ and, kept aside, truth/ of the test samples."""
    _say("simulate")
    for options in simulated_sets(config, run / "data"):
        simulate(**options, workers=config.simulate.workers, survey=config.survey)
    return run / "data"


def simulated_sets(config: Config, data: Path) -> list[dict[str, Any]]:
    """What to call ``simulate`` with for the train and the test set that the config asks for, in ``data``."""
    section = config.simulate
    if not (section.train_count and section.test_count):
        raise UserError("no data: give --data DIR, or simulate.train-count and simulate.test-count above 0")
    train_set = {"out": data / "train", "count": section.train_count, "seed": section.seed, "truth": True}
    # Another seed, so that a larger training set never reaches into the test set.
    test_set = {"out": data / "test", "count": section.test_count, "seed": section.seed + 1, "truth": data / "truth"}
    return [part | {"geology": section.geology} for part in (train_set, test_set)]


def _yardsticks(restored: Restored, config: Config, data: Path, run: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Scores of what needs no network: the training set's median depth profile and the regressions."""
    survey = config.survey
    truths = find_samples(data / "truth", None, survey)
    profile = np.broadcast_to(_median_profile(config, data, run), survey.model_shape)
    yield "median profile", summarise(((s.id, read_velocity(s, survey), profile) for s in truths), survey)
    if restored.base is not None:
        tests = {s.id: s for s in find_samples(data, "test", survey)}
        pairs = [(tests[s.id], s) for s in truths]
        yield "linear regression", summarise(_baseline(restored, config, pairs, "linear"), survey)
        if config.base.regression == "kernel":
            yield "kernel regression", summarise(_baseline(restored, config, pairs, "kernel"), survey)


def _median_profile(config: Config, data: Path, run: Path) -> np.ndarray:
    store, section = open_store(config, data, run), config.data
    rows = split(store, section.validation_fraction, section.split_seed).train
    some = store.velocities[rows, :: max(1, config.survey.nx // 30)]
    return np.median(some, axis=(0, 1))


def _baseline(
    restored: Restored, config: Config, pairs: Sequence[tuple[Sample, Sample]], kernel: str
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    truths = iter(pairs)
    for batch, gathers in decimated([test for test, _ in pairs], config, config.infer.batch_size):
        coarse = ridge.predict(restored.base, kernel, gathers)
        for prediction in np.asarray(resize_base(coarse, config.survey.model_shape))[: len(batch)]:
            test, truth = next(truths)
            yield test.id, read_velocity(truth, config.survey), prediction


def _say(stage: str) -> None:
    print(f"== {stage}", flush=True)


@front_door
def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m jax_inversion.pipeline",
        description="Simulate, analyze, train, predict, score and report; the same command goes on where it was.",
        epilog="Any setting of the preset is changed as in --train.epochs 20 or --simulate.train-count 100.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=Path, required=True, help="preset, such as configs/quickstart.toml")
    parser.add_argument("--data", type=Path, help="folder with train/ and test/ (default: simulate as the preset says)")
    parser.add_argument("--run", type=Path, help="folder of the run (default: runs/<name of the preset>)")
    arguments, overrides = parser.parse_known_args(argv)
    config = configs.load(arguments.config, overrides)
    started = time.monotonic()
    pipeline(config, arguments.run or Path("runs") / arguments.config.stem, arguments.data)
    print(f"done in {(time.monotonic() - started) / 60:.1f} min")


if __name__ == "__main__":
    raise SystemExit(main())
