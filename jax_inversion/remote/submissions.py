"""The stages that predict, on one machine or in parts on several, and where their submissions go."""

import dataclasses
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import config as configs
from .. import pipeline as pipeline_door
from ..config import Config
from ..errors import UserError
from ..files import digest_json, write_aside
from ..inference import submit as inference
from ..inference.predictor import Predictor
from ..inference.submission import spread_path
from ..runs import Run
from . import checks
from .checks import infer_words
from .gpu import need_gpu
from .places import COMMAND, checkpoint, data_folder, run_folder
from .volume import fetch_command


@dataclass(frozen=True)
class Asked:
    """A submission that several machines predict: what was asked for, and what it is made from (see ``provenance``)."""

    run: str
    checkpoint: str
    data: str
    overrides: str
    made_from: dict[str, Any]


def submit(root: Path, run: str, checkpoint_name: str, data: str, overrides: str = "") -> None:
    """A submission from the checkpoint ``best``, ``latest`` or ``epoch_10`` of a run, unless it is there already."""
    place, name = run_folder(root, run), said(checkpoint_name)
    need_gpu()
    folder = data_folder(root, data, run, "test")
    path = pipeline_door.predicted(_wanted(place, overrides), Run(place), folder, name)
    _publish_submission(root, run, name, path)


def parts(
    root: Path, run: str, checkpoint_name: str, data: str, overrides: str, chunk: int
) -> tuple[Asked, list[tuple[int, int]]]:
    """What each part is to know, and start and stop of each. ``UserError`` where they would end with one."""
    checks.before_predicting(root, run, data, overrides, checkpoint_name)
    asked = Asked(run, said(checkpoint_name), data, overrides, {})
    predictor, samples = predictor_of(root, asked)
    ranges = inference.parts(predictor, len(samples), chunk)
    made_from = inference.provenance(predictor, samples)
    return dataclasses.replace(asked, made_from=made_from), [(part.start, part.stop) for part in ranges]


def infer_part(root: Path, asked: Asked, start: int, stop: int) -> str:
    """Predict some of the test samples; returns the piece's path. One made from just this is taken as it is."""
    need_gpu()
    pieces = Run(run_folder(root, asked.run)).pieces
    piece = pieces / digest_json(asked.made_from)[:16] / f"{start:06d}_{stop:06d}.npz"
    if not piece.exists():
        predictor, samples = predictor_of(root, asked)
        inference.submit(predictor, samples, piece, asked.made_from, part=range(start, stop))
    return str(piece.relative_to(root))


def merge(root: Path, asked: Asked, pieces: Sequence[str]) -> None:
    """One checked submission of all pieces, which are then removed."""
    place = Run(run_folder(root, asked.run))
    predictor, samples = predictor_of(root, asked)
    out = place.submission(predictor.restored.label)
    inference.merge([root / piece for piece in pieces], out, samples, predictor)
    place.note(out.name, asked.made_from, [out])
    for stale in (place.path, root / "results" / asked.run):  # parts are predicted without the spread
        spread_path(stale / out.name).unlink(missing_ok=True)
    shutil.rmtree(place.pieces)
    print(f"{len(pieces)} parts merged and checked")
    _publish_submission(root, asked.run, asked.checkpoint, out)


def publish(root: Path, run: str, *paths: Path) -> None:
    """Copy to results/<run>, which is what a user fetches."""
    results = root / "results" / run
    for path in paths:
        with write_aside(results / path.name) as aside:
            shutil.copyfile(path, aside)
        print(f"{run}: {(results / path.name).relative_to(root)}")
    print(fetch_command(results, root))


def submission_of_best(place: Path, run: str) -> Path:
    """The submission of a run's best checkpoint. ``UserError`` says how to make it."""
    best = Predictor.load(place).restored
    path = Run(place).submission(best.label)
    if not path.exists():
        raise UserError(
            f"{run}: no submission of its best epoch, {best.epoch}; {COMMAND}generate_submission --run {run}"
        )
    return path


def _wanted(place: Path, overrides: str, sections: Sequence[str] = ("infer",)) -> Config:
    """The run's configuration with the settings of ``sections`` that are asked for now."""
    return configs.load(Run(place).config, infer_words(overrides, sections))


def predictor_of(root: Path, asked: Asked, sections: Sequence[str] = ("infer",)) -> tuple[Predictor, list[Any]]:
    """What ``pipeline.predicted`` would predict with, and the test samples.

    ``UserError`` where that is no longer what the parts are made from.
    """
    place = run_folder(root, asked.run)
    predictor = Predictor.load(place / asked.checkpoint)
    wanted = _wanted(place, asked.overrides, sections)
    changed = {section: getattr(wanted, section) for section in sections}
    predictor = dataclasses.replace(predictor, config=dataclasses.replace(predictor.config, **changed))
    if asked.made_from and any(asked.made_from[key] != value for key, value in predictor.made_from.items()):
        raise UserError(f"{predictor.restored.path}: the checkpoint or its settings changed meanwhile; run it again")
    return predictor, inference.test_samples(predictor, data_folder(root, asked.data, asked.run, "test"))


def _publish_submission(root: Path, run: str, checkpoint_name: str, path: Path) -> None:
    """The submission and, where there is one, its spread; that of the best checkpoint is submission.npz too."""
    if checkpoint_name == "best":
        with write_aside(root / "results" / run / "submission.npz") as aside:
            shutil.copyfile(path, aside)
        print(f"{run}: results/{run}/submission.npz")
    publish(root, run, path, *([spread] if (spread := spread_path(path)).exists() else []))


def said(name: str) -> str:
    """A checkpoint's name of today; says where that is another one."""
    if (new := checkpoint(name)) != name:
        print(f"{name} is called {new} here")
    return new
