"""``python -m jax_inversion.score``: a submission against the truth."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import config
from .cli import DoorParser, front_door
from .data.folders import find_samples
from .errors import UserError
from .files import check_writable, write_aside
from .inference import scoring
from .inference.scores import interval_text, text
from .inference.submission import check_submission
from .survey import CHALLENGE, Survey
from .surveys import beside


def score(
    truth: Path | str, submission: Path | str, *, survey: Survey | None = None, figures: Path | str | None = None
) -> dict[str, Any]:
    """Scores of ``submission`` (see ``inference.scores.summarise``) against the models under ``truth``.

    ``truth`` is a folder of samples with models, or holds truth/, test/ or train/ with such; the first of these counts.
    Without ``survey`` it is the challenge's, with the shape of the first model there. ``figures``: a folder to draw in.
    ``UserError`` where the submission does not hold exactly the truth's ids, or a model is not as it should be.
    """
    found = scoring.find_truth(truth, survey)
    scores = scoring.score(found, submission)
    if figures is not None:
        from .plots.scores import draw_scores  # matplotlib takes a second to import

        draw_scores(scores, found, Path(submission), Path(figures))
    return scores


def check(submission: Path, data: Path, survey: Survey) -> str:
    """Whether ``submission`` is what the challenge asks for the test samples below ``data``, in one sentence.

    ``UserError`` names what is wrong with it. No truth is needed.
    """
    ids = [sample.id for sample in find_samples(data, "test", survey)]
    found = check_submission(submission, ids, survey)
    return (
        f"{submission}: one finite float64 model {survey.model_shape} (x, depth) for each of {found.samples} test "
        f"samples, {found.low_km_s:.3f} to {found.high_km_s:.3f} km/s"
    )


def parser() -> DoorParser:
    """Of the command line."""
    door = DoorParser(
        "score",
        description="Score a submission against the true velocity models: MAPE as the challenge defines it, MAE, RMSE, "
        "SSIM, the worst samples, MAPE by depth. Refuses missing or extra samples, wrong shapes, dtypes and NaN. "
        "Without a truth, --check FILE --data DIR says whether a submission is fit to be sent.",
    )
    door.add_argument("--truth", type=Path, metavar="DIR", help="samples with their velocity models")
    door.add_argument("--submission", type=Path, metavar="FILE", help="what infer wrote, an .npz")
    door.add_argument("--check", type=Path, metavar="FILE", help="check this submission, without a truth")
    door.add_argument("--data", type=Path, metavar="DIR", help="with --check: the test samples")
    door.add_argument(
        "--survey", type=Path, metavar="CONFIG.toml", help="preset with their survey (default: the one beside them)"
    )
    door.add_argument("--intervals", action="store_true", help="say how often infer's --intervals hold the truth")
    door.add_argument("--json", type=Path, metavar="FILE", help="write all scores there too")
    door.add_argument("--figures", type=Path, metavar="DIR", help="draw best, median and worst sample and the errors")
    return door


@front_door
def main(argv: Sequence[str]) -> None:
    options, _ = parser().read(argv)
    known = options.survey or beside(options.data if options.check else options.truth)
    survey = config.load(known).survey if known else None
    if options.check:
        if options.data is None:
            raise UserError("--check FILE needs the test samples: --data DIR")
        print(check(options.check, options.data, survey or CHALLENGE))
        return
    if options.truth is None or options.submission is None:
        raise UserError("give --truth DIR and --submission FILE, or --check FILE and --data DIR")
    for path in (options.json, options.figures and options.figures / "mape_by_depth.png"):
        if path:
            check_writable(path)
    scores = score(options.truth, options.submission, survey=survey, figures=options.figures)
    print(text(scores))
    if options.intervals:
        scores["intervals"] = scoring.score_intervals(scoring.find_truth(options.truth, survey), options.submission)
        print(interval_text(scores["intervals"]))
    if options.json:
        with write_aside(options.json) as aside:
            aside.write_text(json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
