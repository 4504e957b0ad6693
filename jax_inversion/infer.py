"""``python -m jax_inversion.infer``: predict the velocity models of a test set and write the submission."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from .cli import front_door
from .files import check_writable
from .inference.predictor import Predictor
from .inference.submission import spread_path
from .inference.submit import provenance, submit, test_samples
from .runs import Run


def infer(
    ckpt: Path | str,
    data: Path | str | None = None,
    out: Path | str | None = None,
    uncertainty: bool = False,
    overrides: Sequence[str] = (),
) -> Path:
    """Predict every test sample under ``data`` with the checkpoint RUN[/best|/latest|/epoch_10]; returns the file.

    ``data`` defaults to what the run was trained with, ``out`` to RUN/submission_<checkpoint>_epoch_<n>.npz.
    ``uncertainty`` writes the members' standard deviation to ``<out>_spread.npz`` too. ``overrides`` change the [infer]
    section only. ``UserError`` for a missing checkpoint, bad samples or another survey's data.
    """
    predictor = Predictor.load(ckpt, overrides)
    out = Path(out) if out else Run(predictor.restored.run).submission(predictor.restored.label)
    check_writable(out)
    if uncertainty:
        check_writable(spread_path(out))
    samples = test_samples(predictor, data)
    submit(predictor, samples, out, provenance(predictor, samples), uncertainty=uncertainty)
    return out


@front_door
def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m jax_inversion.infer",
        description="Predict the velocity models of the test samples with a trained ensemble and write a submission.",
        epilog="Settings of the [infer] section may be changed: --infer.mirror false --infer.batch-size 8",
        allow_abbrev=False,
    )
    parser.add_argument("--ckpt", required=True, metavar="RUN[/best|/latest|/epoch_10]", help="default is RUN/best")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="samples, or test/ with samples (default: the run's own)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: RUN/submission_<checkpoint>_epoch_<n>.npz")
    parser.add_argument("--uncertainty", action="store_true", help="also write the members' spread, <out>_spread.npz")
    options, overrides = parser.parse_known_args(argv)
    infer(options.ckpt, options.data, options.out, options.uncertainty, overrides)


if __name__ == "__main__":
    raise SystemExit(main())
