"""``python -m jax_inversion.pipeline``: from nothing, or from data, to a scored submission and a report.

Named stages, in order. Each is done when its product was made from what it would be made from now, and its files are
whole; otherwise it is done again. Simulated samples, the packed store, the base and checkpoints know that for
themselves, the run keeps it for the others.
"""

import dataclasses
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import config as configs
from .analyze import analyze
from .cli import SECTIONS, DoorParser, front_door
from .config import Config
from .data.contents import sources_digest
from .data.folders import MODEL_FILE, find_samples
from .errors import UserError
from .files import digest, digest_json, write_aside
from .infer import control
from .inference import intervals, scoring
from .inference.intervals import Factors
from .inference.predictor import Predictor
from .inference.scores import table, text, verdict
from .inference.submission import spread_path
from .inference.submit import provenance, submit, test_samples
from .inference.yardsticks import yardsticks
from .refinement import calibration, quality
from .refinement.submission import check_refinable, refine_submission, rows_path
from .refinement.submission import made_from as refined_from
from .runs import Run
from .simulate import simulate
from .train import train
from .training import check_run

FIGURES = 3  # of quality control

log = logging.getLogger(__name__)


def pipeline(config: Config, run: Run | Path, data: Path | None = None) -> dict[str, Any]:
    """Simulate (without ``data``), analyze, train, predict, score where the truth is known, and report, all in ``run``.

    With ``refine.on`` predictions are refined too. Returns the scores by system, the ensemble's first; empty where no
    truth is known. ``UserError`` where another process works in the run, and before any work where samples or settings
    are not as they should be.
    """
    run = run if isinstance(run, Run) else Run(run)
    with run.lock(), run.sitting():
        check_run(run.path, config)
        if config.refine.on:
            check_refinable(config)
        data = Path(data) if data else Path(config.data.root) if config.data.root else None
        if config.data.source == "store":
            raise UserError("data.source 'store' is for train; the pipeline needs 'folders', 'simulated' or 'mixed'")
        if data is None:
            data = _simulated(config, run)
        for split in ("train", "test") if config.data.source != "simulated" else ("test",):
            find_samples(data, split, config.survey)
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, root=str(data)))
        analyzed(config, run, data)
        _say("train")
        train(config, data, run.path)
        predictor, submission = _predicted(config, run, data, "best")
        if predictor.config.refine.on:
            _refined(run, predictor, data)
        return _finished(run, predictor, submission, data)


def finish(run: Run | Path, data: Path) -> dict[str, Any]:
    """The last stages of a run that is trained: the scores of its best checkpoint's submission, and the report.

    Nothing is predicted here, so there are no intervals. ``UserError`` where the submission is missing or was made from
    something else.
    """
    run = run if isinstance(run, Run) else Run(run)
    with run.lock():
        predictor = Predictor.load(run.path)
        predictor = dataclasses.replace(predictor, config=_infer_settings(predictor.config, configs.load(run.config)))
        submission = run.submission(predictor.restored.label)
        made_from = provenance(predictor, test_samples(predictor, data))
        if not run.has(submission.name, made_from):
            why = ", ".join(run.changed(submission.name, made_from)) or "it is missing or damaged"
            raise UserError(f"{submission}: not what the run would predict now ({why}); predict it again")
        without = dataclasses.replace(predictor.config.infer, intervals=())
        predictor = dataclasses.replace(predictor, config=dataclasses.replace(predictor.config, infer=without))
        return _finished(run, predictor, submission, data)


def simulated_sets(config: Config, data: Path) -> list[dict[str, Any]]:
    """What to call ``simulate`` with for the train and the test set that the config asks for, in ``data``."""
    section = config.simulate
    if not (section.train_count and section.test_count):
        raise UserError("no data: give --data DIR, or simulate.train-count and simulate.test-count above 0")
    train_set = {"out": data / "train", "count": section.train_count, "seed": section.seed, "truth": True}
    # Another seed, so that a larger training set never reaches into the test set.
    test_set = {"out": data / "test", "count": section.test_count, "seed": section.seed + 1, "truth": data / "truth"}
    return [
        train_set | {"geology": section.geology},
        test_set | {"geology": section.test_geology or section.geology},
    ]


def _simulated(config: Config, run: Run) -> Path:
    """RUN/data with train/, test/ and, kept aside, truth/ of the test samples."""
    _say("simulate")
    for options in simulated_sets(config, run.data):
        if config.data.source == "simulated" and options["out"].name == "train":
            continue  # straight into the store, when training begins
        simulate(**options, workers=config.simulate.workers, survey=config.survey, simulator=config.simulator)
    return run.data


def analyzed(config: Config, run: Run, data: Path) -> None:
    """The stage that looks at the samples below ``data``."""
    samples = find_samples(data, None, config.survey)
    made_from = {
        "survey": config.survey.as_dict(),
        "samples": digest_json(sources_digest(samples, config.survey, velocities=True)),
    }

    def make() -> list[Path]:
        said, figures = analyze(data, run.data_figures, config.survey)
        print(said)
        return figures

    _stage(run, "analyze", "analysis", made_from, make)


def predicted(config: Config, run: Run, data: Path, checkpoint: str = "best") -> Path:
    """The stage that predicts the test samples below ``data``, with the [infer] settings of ``config``; its file."""
    return _predicted(config, run, data, checkpoint)[1]


def _predicted(config: Config, run: Run, data: Path, checkpoint: str) -> tuple[Predictor, Path]:
    predictor = Predictor.load(run.path / checkpoint)
    predictor = dataclasses.replace(predictor, config=_infer_settings(predictor.config, config))
    samples = test_samples(predictor, data)
    out = run.submission(predictor.restored.label)
    made_from = provenance(predictor, samples)

    def make() -> list[Path]:
        submit(predictor, samples, out, made_from, uncertainty=True)
        try:
            check_refinable(predictor.config)
            ordinary = quality.usual(predictor)
        except UserError as error:  # the submission does not depend on it
            log.info(f"without quality control: {error}")
            return [out, spread_path(out)]
        return [out, spread_path(out), *control(predictor, samples, out, run.figures, ordinary, most=FIGURES)]

    _stage(run, "infer", out.name, made_from, make)
    return predictor, out


def _refined(run: Run, predictor: Predictor, data: Path) -> None:
    """The stage that corrects the predictions by waveform inversion."""
    samples = test_samples(predictor, data)
    out, made_from = _refined_path(run, predictor), refined_from(predictor, samples)

    def make() -> list[Path]:
        refine_submission(predictor, samples, out)
        return [out, spread_path(out), rows_path(out)]

    _stage(run, "refine", out.name, made_from, make)


def _refined_path(run: Run, predictor: Predictor) -> Path:
    return run.submission(f"{predictor.restored.label}_refined")


def _finished(run: Run, predictor: Predictor, submission: Path, data: Path) -> dict[str, Any]:
    from .plots.report import report  # matplotlib takes a second to import

    systems = _scored(run, predictor, submission, data)
    told = json.loads(rows_path(_refined_path(run, predictor)).read_text()) if predictor.config.refine.on else None
    print(f"report: {report(run.path, told)}")
    return systems


def _scored(run: Run, predictor: Predictor, submission: Path, data: Path) -> dict[str, Any]:
    if not (data / "truth").is_dir():
        return {}
    truth = scoring.find_truth(data / "truth", predictor.survey)
    truths = {sample.id: sample for sample in truth.samples}
    submissions = {"ensemble": submission}
    if predictor.config.refine.on:
        submissions["refined"] = _refined_path(run, predictor)
    made_from = {
        "submission": [digest(path) for path in submissions.values()],
        "checkpoint": predictor.restored.fingerprint,
        "truth": digest_json({name: digest(sample.path / MODEL_FILE) for name, sample in truths.items()}),
        "intervals": [*predictor.config.infer.intervals, predictor.config.refine.intervals],
    }

    def make() -> list[Path]:
        from .plots import scores as drawing  # matplotlib takes a second to import

        systems = {name: scoring.score(truth, path) for name, path in submissions.items()}
        figures = drawing.draw_scores(systems["ensemble"], truth, submission, run.figures)
        if "refined" in submissions:
            figures += drawing.draw_refined(systems, truth, submission, submissions["refined"], run.figures)
        for name, known in _calibrated(predictor).items():
            systems[name]["intervals"] = scoring.cover(truth, submissions[name], known)
            place = run.figures / f"intervals_{name}.png"
            figures.append(drawing.draw_intervals(systems["ensemble"], truth, submissions[name], known, place))
        systems |= yardsticks(predictor, test_samples(predictor, data), truths)
        with write_aside(run.scores) as aside:
            aside.write_text(json.dumps(systems))
        return [run.scores, *figures]

    _stage(run, "score", "scores", made_from, make)
    systems = json.loads(run.scores.read_text())
    print(text(systems["ensemble"]))
    for row in table(systems):
        print("".join(f"{cell:<18}" for cell in row))
    print("\n".join(verdict({"refined": systems["refined"], **systems} if "refined" in systems else systems)))
    return systems


def _calibrated(predictor: Predictor) -> dict[str, dict[float, Factors]]:
    """By system, what spreads are multiplied by for intervals of each level that is asked for; {} of none, or where the
    run has too few validation samples to calibrate on, on which nothing else depends.
    """
    levels, refine, found = predictor.config.infer.intervals, predictor.config.refine, {}
    try:
        if levels:
            found["ensemble"] = {level: intervals.calibrated(predictor, level) for level in levels}
        if levels and refine.on and refine.intervals:
            table, where = calibration.table(predictor), str(predictor.restored.path)
            found["refined"] = {level: intervals.chosen(table, level, where) for level in levels}
    except UserError as error:
        log.info(f"without intervals: {error}")
    return found


def _stage(run: Run, name: str, product: str, made_from: Mapping[str, Any], make: Callable[[], Sequence[Path]]) -> None:
    """Do a stage unless its ``product`` is there, whole, and was made from just this; note it when it is complete."""
    _say(name)
    if run.has(product, made_from):
        log.info(f"{run.path}: {product} is there already")
        return
    if changes := run.changed(product, made_from):
        log.info(f"{run.path}: {product} is made anew, for {', '.join(changes)} changed")
    run.note(product, made_from, make())


def _infer_settings(trained: Config, wanted: Config) -> Config:
    """The checkpoint's configuration with the [infer] and [refine] settings that are asked for now."""
    return dataclasses.replace(trained, infer=wanted.infer, refine=wanted.refine)


def _say(stage: str) -> None:
    print(f"== {stage}", flush=True)


def parser() -> DoorParser:
    """Of the command line."""
    door = DoorParser(
        "pipeline",
        description="Simulate, analyze, train, predict, score and report; the same command goes on where it was.",
        epilog="Any setting of the preset is changed as in --train.epochs 20 or --simulate.train-count 100.",
        sections=tuple(SECTIONS),
    )
    door.add_argument("--config", type=Path, required=True, help="preset, such as configs/quickstart.toml")
    door.add_argument("--data", type=Path, help="folder with train/ and test/ (default: simulate as the preset says)")
    door.add_argument("--run", type=Path, help="folder of the run (default: runs/<name of the preset>)")
    return door


@front_door
def main(argv: Sequence[str]) -> None:
    arguments, overrides = parser().read(argv)
    config = configs.load(arguments.config, overrides)
    started = time.monotonic()
    run = Run(arguments.run or Path("runs") / arguments.config.stem)
    pipeline(config, run, arguments.data)
    if run.path.resolve().parent.name == "runs":  # elsewhere an index.html may be somebody's own
        from .plots.index import index

        print(f"all runs: {index(run.path.parent)}")
    print(f"done in {(time.monotonic() - started) / 60:.1f} min")


if __name__ == "__main__":
    raise SystemExit(main())
