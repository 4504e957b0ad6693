"""``python -m jax_inversion.infer``: predict the velocity models of a test set and write the submission."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from .cli import DoorParser, front_door
from .data.folders import Sample
from .files import check_writable
from .inference.intervals import calibrated, check_level, with_others, write_bounds
from .inference.predictor import Predictor
from .inference.submission import bounds_paths, check_place, quality_path, read_submission, spread_path
from .inference.submit import provenance, submit, test_samples
from .refinement import quality
from .refinement.submission import check_refinable
from .runs import Run


def infer(
    ckpt: Path | str,
    data: Path | str | None = None,
    out: Path | str | None = None,
    uncertainty: bool = False,
    overrides: Sequence[str] = (),
    intervals: float | None = None,
    qc: bool = False,
) -> Path:
    """Predict every test sample under ``data`` with the checkpoint RUN[/best|/latest|/epoch_10]; returns the file.

    ``data`` defaults to what the run was trained with, ``out`` to RUN/submission_<checkpoint>_epoch_<n>.npz.
    ``uncertainty`` writes the members' standard deviation to ``<out>_spread.npz`` too, ``intervals``, such as 0.9, also
    models between which that share of the cells is to lie, ``<out>_lower.npz`` and ``<out>_upper.npz``, calibrated on
    the run's validation samples. ``overrides`` change the [infer] section only. ``UserError`` for a missing checkpoint,
    bad samples or another survey's data.

    ``qc`` simulates each prediction and writes how far its gathers are from those observed to ``<out>_qc.json``, and a
    figure a sample to ``<out>_qc/``.
    """
    predictor = Predictor.load(ckpt, overrides)
    out = Path(out) if out else Run(predictor.restored.run).submission(predictor.restored.label)
    check_place(out)
    uncertainty = uncertainty or intervals is not None
    if qc:
        check_refinable(predictor.config)
        check_writable(quality_path(out))
    for path in [spread_path(out)] * uncertainty + [*bounds_paths(out)] * (intervals is not None):
        check_writable(path)
    samples = test_samples(predictor, data)
    known = None
    if intervals is not None:
        known = with_others(partial(calibrated, predictor), intervals, predictor.config.infer.intervals)
    ordinary = quality.usual(predictor) if qc else None
    made_from = provenance(predictor, samples)
    submit(predictor, samples, out, made_from, uncertainty=uncertainty)
    if known is not None and intervals is not None:
        write_bounds(out, known, intervals, predictor.survey, made_from)
    if ordinary is not None:
        control(predictor, samples, out, out.with_name(f"{out.stem}_qc"), ordinary)
    return out


def control(
    predictor: Predictor,
    samples: Sequence[Sample],
    submission: Path,
    figures: Path,
    ordinary: np.ndarray,
    most: int | None = None,
) -> list[Path]:
    """Quality control of a ``submission``: its file, and figures in the folder ``figures``, at most ``most``."""
    from . import plots  # matplotlib takes a second to import

    told, files = {}, []
    with read_submission(submission) as models:
        for sample_id, found in quality.qualities(predictor, samples, submission, ordinary):
            told[sample_id] = found.said
            if most is None or len(files) < most:
                model = models.read(sample_id, predictor.survey.model_shape)
                gathers = found.observed, found.predicted, found.background
                title = f"{sample_id}: misfit {found.misfit:.3f}" + ", unlike the training set" * found.unlike
                figure = plots.quality_panel(*gathers, model, predictor.restored.survey, title=title)
                files.append(plots.save(figure, figures / f"quality_{sample_id}.png"))
    return [quality.write(told, submission), *files]


def parser() -> DoorParser:
    """Of the command line."""
    door = DoorParser(
        "infer",
        description="Predict the velocity models of the test samples with a trained ensemble and write a submission.",
        epilog="Settings of the [infer] section may be changed: --infer.mirror false --infer.batch-size 8",
        sections=("infer",),
    )
    door.add_checkpoint()
    door.add_argument(
        "--data", type=Path, metavar="DIR", help="samples, or test/ with samples (default: the run's own)"
    )
    door.add_argument("--out", type=Path, metavar="FILE", help="default: RUN/submission_<checkpoint>_epoch_<n>.npz")
    door.add_argument("--uncertainty", action="store_true", help="also write the members' spread, <out>_spread.npz")
    door.add_argument(
        "--intervals", type=float, metavar="0.9", help="also write models between which so many cells lie, calibrated"
    )
    door.add_argument(
        "--qc", action="store_true", help="also say how far each prediction's gathers are from those observed"
    )
    return door


@front_door
def main(argv: Sequence[str]) -> None:
    options, overrides = parser().read(argv)
    if options.intervals is not None:
        check_level(options.intervals)
    infer(options.ckpt, options.data, options.out, options.uncertainty, overrides, options.intervals, options.qc)


if __name__ == "__main__":
    raise SystemExit(main())
