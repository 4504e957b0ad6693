"""``python -m jax_inversion.refine``: predict a test set and let the wave equation correct the predictions."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from .cli import DoorParser, front_door
from .errors import UserError
from .files import check_writable
from .inference.intervals import calibrated, check_level, chosen, with_others, write_bounds
from .inference.predictor import Predictor
from .inference.submission import bounds_paths, check_place, spread_path
from .inference.submit import test_samples
from .refinement import calibration
from .refinement.submission import made_from, refine_submission
from .runs import Run


def refine(
    ckpt: Path | str,
    data: Path | str | None = None,
    out: Path | str | None = None,
    budget_minutes: float | None = None,
    overrides: Sequence[str] = (),
    intervals: float | None = None,
) -> Path:
    """Predict every test sample under ``data`` with the checkpoint RUN[/best|/latest|/epoch_10], and refine; the file.

    ``out`` defaults to RUN/submission_<checkpoint>_epoch_<n>_refined.npz; beside it lie the models' standard deviations
    (``_spread``), what became of each sample (``_refinement.json``), and the predictions (``_start``) unless the run's
    own submission is of just these samples. ``intervals``, such as 0.9, adds models between which that share of the
    cells is to lie (``_lower``, ``_upper``), calibrated on refined validation samples of the run; samples that the
    budget left have those of predictions. ``overrides`` change the sections [infer] and [refine].

    ``UserError`` for a missing checkpoint, bad samples, another survey's data, and a run without its training samples.
    """
    if budget_minutes is not None and not budget_minutes > 0:
        raise UserError(f"--budget-minutes is {budget_minutes:g}; right is above 0")
    predictor = Predictor.load(ckpt, overrides, sections=("infer", "refine"))
    run, label = Run(predictor.restored.run), predictor.restored.label
    out = Path(out) if out else run.submission(f"{label}_refined")
    check_place(out)
    for path in (spread_path(out), *(bounds_paths(out) if intervals is not None else ())):
        check_writable(path)
    samples = test_samples(predictor, data)
    budget_s = np.inf if budget_minutes is None else 60 * budget_minutes
    with run.lock():
        known = predicted = None
        if intervals is not None:  # known before the work, like what is wrong with it
            find = partial(chosen, calibration.table(predictor), where=str(predictor.restored.path))
            known = with_others(find, intervals, predictor.config.infer.intervals)
            predicted = None if budget_minutes is None else calibrated(predictor, intervals)
        told = refine_submission(predictor, samples, out, budget_s)
    if known is not None and intervals is not None:
        left = {} if predicted is None else {s.id: predicted for s in samples if s.id not in told}
        write_bounds(out, known, intervals, predictor.survey, made_from(predictor, samples), left)
    return out


def parser() -> DoorParser:
    """Of the command line."""
    door = DoorParser(
        "refine",
        description="Predict the velocity models of the test samples and correct them by waveform inversion.",
        epilog="Settings of [refine] and [infer] may be changed: --refine.bands-hz 4,8 --refine.noise 0.02. "
        "Interrupted, the same command goes on.",
        sections=("refine", "infer"),
    )
    door.add_checkpoint()
    door.add_argument(
        "--data", type=Path, metavar="DIR", help="samples, or test/ with samples (default: the run's own)"
    )
    door.add_argument("--out", type=Path, metavar="FILE", help="default: RUN/submission_<checkpoint>_refined.npz")
    door.add_argument("--budget-minutes", type=float, metavar="M", help="then the rest comes back as predicted")
    door.add_argument(
        "--intervals", type=float, metavar="0.9", help="also write models between which so many cells lie, calibrated"
    )
    return door


@front_door
def main(argv: Sequence[str]) -> None:
    options, overrides = parser().read(argv)
    if options.intervals is not None:
        check_level(options.intervals)
    refine(options.ckpt, options.data, options.out, options.budget_minutes, overrides, options.intervals)


if __name__ == "__main__":
    raise SystemExit(main())
