"""``python -m jax_inversion.infer``: predict the velocity models of a test set and write the submission."""

from collections.abc import Sequence
from pathlib import Path

from .cli import DoorParser, front_door
from .files import check_writable
from .inference.intervals import calibrated, check_level, write_bounds
from .inference.predictor import Predictor
from .inference.submission import bounds_paths, spread_path
from .inference.submit import provenance, submit, test_samples
from .runs import Run


def infer(
    ckpt: Path | str,
    data: Path | str | None = None,
    out: Path | str | None = None,
    uncertainty: bool = False,
    overrides: Sequence[str] = (),
    intervals: float | None = None,
) -> Path:
    """Predict every test sample under ``data`` with the checkpoint RUN[/best|/latest|/epoch_10]; returns the file.

    ``data`` defaults to what the run was trained with, ``out`` to RUN/submission_<checkpoint>_epoch_<n>.npz.
    ``uncertainty`` writes the members' standard deviation to ``<out>_spread.npz`` too, ``intervals``, such as 0.9, also
    models between which that share of the cells is to lie, ``<out>_lower.npz`` and ``<out>_upper.npz``, calibrated on
    the run's validation samples. ``overrides`` change the [infer] section only. ``UserError`` for a missing checkpoint,
    bad samples or another survey's data.
    """
    predictor = Predictor.load(ckpt, overrides)
    out = Path(out) if out else Run(predictor.restored.run).submission(predictor.restored.label)
    check_writable(out)
    uncertainty = uncertainty or intervals is not None
    for path in [spread_path(out)] * uncertainty + [*bounds_paths(out)] * (intervals is not None):
        check_writable(path)
    samples = test_samples(predictor, data)
    factors = None if intervals is None else calibrated(predictor, intervals)
    made_from = provenance(predictor, samples)
    submit(predictor, samples, out, made_from, uncertainty=uncertainty)
    if factors is not None and intervals is not None:
        write_bounds(out, factors, intervals, predictor.survey, made_from)
    return out


def parser() -> DoorParser:
    """Of the command line."""
    door = DoorParser(
        "infer",
        description="Predict the velocity models of the test samples with a trained ensemble and write a submission.",
        epilog="Settings of the [infer] section may be changed: --infer.mirror false --infer.batch-size 8",
        sections=("infer",),
    )
    door.add_argument("--ckpt", required=True, metavar="RUN[/best|/latest|/epoch_10]", help="default is RUN/best")
    door.add_argument(
        "--data", type=Path, metavar="DIR", help="samples, or test/ with samples (default: the run's own)"
    )
    door.add_argument("--out", type=Path, metavar="FILE", help="default: RUN/submission_<checkpoint>_epoch_<n>.npz")
    door.add_argument("--uncertainty", action="store_true", help="also write the members' spread, <out>_spread.npz")
    door.add_argument(
        "--intervals", type=float, metavar="0.9", help="also write models between which so many cells lie, calibrated"
    )
    return door


@front_door
def main(argv: Sequence[str]) -> None:
    options, overrides = parser().read(argv)
    if options.intervals is not None:
        check_level(options.intervals)
    infer(options.ckpt, options.data, options.out, options.uncertainty, overrides, options.intervals)


if __name__ == "__main__":
    raise SystemExit(main())
