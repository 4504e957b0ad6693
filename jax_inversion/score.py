"""``python -m jax_inversion.score``: a submission against the truth."""

import argparse
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import config, plots
from .cli import front_door
from .data.folders import MODEL_FILE, Sample, find_samples, read_velocity
from .errors import UserError
from .files import write_aside
from .inference.scores import summarise
from .inference.submission import Submission, read_submission
from .progress import track
from .survey import CHALLENGE, Survey

WORST = 5


def score(
    truth: Path | str, submission: Path | str, *, survey: Survey | None = None, figures: Path | str | None = None
) -> dict[str, Any]:
    """Scores of ``submission`` (see ``inference.scores.summarise``) against the models under ``truth``.

    ``truth`` is a folder of samples with models, or holds truth/, test/ or train/ with such; the first of these counts.
    Without ``survey`` it is the challenge's, with the shape of the first model there. ``figures``: a folder to draw in.
    ``UserError`` where the submission does not hold exactly the truth's ids, or a model is not as it should be.
    """
    folder = _truth_folder(Path(truth), survey or CHALLENGE)
    survey = survey or _survey_of(folder)
    samples = find_samples(folder, None, survey)
    with read_submission(submission) as found:
        found.check_ids([sample.id for sample in samples])

        def triples() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
            for sample in track(samples, len(samples), "scoring"):
                prediction = found.read(sample.id, survey.model_shape)
                yield sample.id, read_velocity(sample, survey), prediction

        scores = summarise(triples(), survey)
        if figures is not None:
            _draw(scores, samples, found, survey, Path(figures))
    return scores


def text(scores: dict[str, Any]) -> str:
    """The scores as lines for a terminal."""
    ranked = sorted(scores["per_sample"].items(), key=lambda item: -item[1])[:WORST]
    similarity = "-" if scores["ssim"] is None else f"{scores['ssim']:.4f}"
    lines = [
        f"samples  {scores['samples']}",
        f"MAPE     {scores['mape']:.5f}  ({100 * scores['mape']:.2f} %)",
        f"MAE      {scores['mae']:.4f} km/s",
        f"RMSE     {scores['rmse']:.4f} km/s",
        f"SSIM     {similarity}",
        "worst samples",
        *(f"  {sample_id:<24} {100 * value:6.2f} %" for sample_id, value in ranked),
        "MAPE by depth",
        *(f"  {b['from_m']:6.0f} to {b['to_m']:6.0f} m {100 * b['mape']:6.2f} %" for b in scores["bands"]),
    ]
    return "\n".join(lines)


def _truth_folder(root: Path, survey: Survey) -> Path:
    for folder in (root / "truth", root / "test", root / "train", root):
        if any(not path.parent.name.startswith(".") for path in folder.glob(f"*/{MODEL_FILE}")):
            return folder
    raise UserError(f"{root}: no velocity models; looked for */{MODEL_FILE} in it and its truth/, test/, train/")


def _survey_of(folder: Path) -> Survey:
    """The challenge's survey, with the shape of the first model in ``folder`` where that is another."""
    path = find_samples(folder, None, CHALLENGE)[0].path / MODEL_FILE
    try:
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
    except (OSError, ValueError, EOFError):
        return CHALLENGE  # reading it properly will say what is wrong
    if shape == CHALLENGE.model_shape or len(shape) != 2 or 0 in shape:
        return CHALLENGE
    print(f"models here are {shape}: taken for cells of {CHALLENGE.spacing_m:g} m; --survey CONFIG.toml knows better")
    return dataclasses.replace(CHALLENGE, nx=shape[0], nz=shape[1])


def _draw(scores: dict[str, Any], samples: list[Sample], submission: Submission, survey: Survey, out: Path) -> None:
    """Best, median and worst prediction, the error with depth and all samples' scores."""
    ranked = sorted(samples, key=lambda sample: scores["per_sample"][sample.id])
    chosen = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
    spread_path = submission.path.with_name(f"{submission.path.stem}_spread.npz")
    for rank, sample in chosen.items():
        prediction = submission.read(sample.id, survey.model_shape)
        spread = None
        if spread_path.exists():
            with read_submission(spread_path) as spreads:
                spread = spreads.read(sample.id, survey.model_shape)
        title = f"{sample.id}, the {rank} of {len(ranked)}: MAPE {100 * scores['per_sample'][sample.id]:.2f} %"
        figure = plots.comparison(read_velocity(sample, survey), prediction, survey, spread=spread, title=title)
        plots.save(figure, out / f"prediction_{rank}.png")
    curve = {f"mean {100 * scores['mape']:.2f} %": np.asarray(scores["mape_at_depth"])}
    plots.save(plots.error_by_depth(curve, survey.spacing_m), out / "mape_by_depth.png")
    plots.save(plots.sample_scores(scores["per_sample"]), out / "mape_by_sample.png")
    print(f"figures in {out}")


@front_door
def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m jax_inversion.score",
        description="Score a submission against the true velocity models: MAPE as the challenge defines it, MAE, RMSE, "
        "SSIM, the worst samples, MAPE by depth. Refuses missing or extra samples, wrong shapes, dtypes and NaN.",
    )
    parser.add_argument("--truth", type=Path, required=True, metavar="DIR", help="samples with their velocity models")
    parser.add_argument("--submission", type=Path, required=True, metavar="FILE", help="what infer wrote, an .npz")
    parser.add_argument(
        "--survey", type=Path, metavar="CONFIG.toml", help="config of a survey other than the challenge's"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all scores there too")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="draw best, median and worst sample and the errors")
    options = parser.parse_args(argv)
    survey = config.load(options.survey).survey if options.survey else None
    scores = score(options.truth, options.submission, survey=survey, figures=options.figures)
    print(text(scores))
    if options.json:
        with write_aside(options.json) as aside:
            aside.write_text(json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
