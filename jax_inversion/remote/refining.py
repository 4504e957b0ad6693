"""Refining on several machines side by side: some of the test samples each, then one submission of all."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from ..files import digest_json, write_aside
from ..inference import submit as inference
from ..inference.submission import spread_path
from ..refinement.learn import learnt
from ..refinement.submission import check_refinable, made_from, refine_submission, rows_path
from ..runs import Run
from . import checks
from .places import run_folder
from .submissions import Asked, predictor_of, publish, said

SECTIONS = ("infer", "refine")


def parts(
    root: Path, run: str, checkpoint_name: str, data: str, overrides: str, chunk: int
) -> tuple[Asked, list[tuple[int, int]]]:
    """What each part is to know, and start and stop of each; the prior is learnt here, once.

    ``UserError`` where the parts would end with one.
    """
    checks.before_predicting(root, run, data, overrides, checkpoint_name, SECTIONS)
    asked = Asked(run, said(checkpoint_name), data, overrides, {})
    predictor, samples = predictor_of(root, asked, SECTIONS)
    check_refinable(predictor.config)
    learnt(predictor)
    starts = range(0, len(samples), max(1, chunk))
    ranges = [(start, min(start + max(1, chunk), len(samples))) for start in starts]
    return dataclasses.replace(asked, made_from=made_from(predictor, samples)), ranges


def refine_part(root: Path, asked: Asked, start: int, stop: int, workers: int) -> str:
    """Refine some of the test samples in ``workers`` processes; the piece's path. One that is there is taken as it is,
    and one that was interrupted goes on.
    """
    pieces = Run(run_folder(root, asked.run)).pieces
    piece = pieces / digest_json(asked.made_from)[:16] / f"{start:06d}_{stop:06d}.npz"
    if not (piece.exists() and spread_path(piece).exists() and rows_path(piece).exists()):
        predictor, samples = predictor_of(root, asked, SECTIONS)
        settings = dataclasses.replace(predictor.config.refine, workers=workers)
        predictor = dataclasses.replace(predictor, config=dataclasses.replace(predictor.config, refine=settings))
        piece.parent.mkdir(parents=True, exist_ok=True)
        refine_submission(predictor, samples[start:stop], piece, part_of=asked.made_from)
    return str(piece.relative_to(root))


def merge(root: Path, asked: Asked, pieces: Sequence[str]) -> None:
    """One checked submission of all pieces, standard deviations and what became of each sample beside it."""
    place, paths = Run(run_folder(root, asked.run)), [root / piece for piece in pieces]
    predictor, samples = predictor_of(root, asked, SECTIONS)
    out = place.submission(f"{predictor.restored.label}_refined")
    inference.merge(paths, out, samples, predictor)
    inference.merge([spread_path(path) for path in paths], spread_path(out), samples, predictor)
    told = {name: row for path in paths for name, row in json.loads(rows_path(path).read_text()).items()}
    with write_aside(rows_path(out)) as aside:
        aside.write_text(json.dumps(told, indent=1) + "\n")
    place.note(out.name, asked.made_from, [out, spread_path(out), rows_path(out)])
    shutil.rmtree(place.pieces)
    refined = sum(row["scale"] > 0 for row in told.values())
    print(f"{refined} of {len(samples)} models refined; {len(pieces)} parts merged and checked")
    publish(root, asked.run, out, spread_path(out), rows_path(out))
