"""``python -m jax_inversion.export``: a trained run as one small file that predicts anywhere."""

import logging
from collections.abc import Sequence
from pathlib import Path

from .cli import DoorParser, front_door
from .errors import UserError
from .files import check_writable, size_text
from .inference import intervals
from .inference.predictor import Predictor
from .refinement import calibration, learn, quality
from .refinement.submission import check_refinable
from .training import merge, model_file

log = logging.getLogger(__name__)


def export(
    ckpt: Path | str,
    out: Path | str,
    overrides: Sequence[str] = (),
    refined: bool = False,
    beside: Path | str | None = None,
    share: float | None = None,
) -> Path:
    """Write the checkpoint RUN[/best|/latest|/epoch_10] to the model file ``out``, an .npz; returns it.

    With the members of another checkpoint ``beside`` its own, where one is given, and their ``share`` of the weight, a
    half if none is said (``training.merge``). With it go what intervals are calibrated by and the prior of refining,
    where the run's samples say them; otherwise a line says why not; with ``refined`` what intervals of refined models
    need, which takes minutes. ``overrides`` change [refine]. ``UserError`` for a missing checkpoint, and for two that
    do not go together.
    """
    out = Path(out)
    if out.suffix != ".npz":
        raise UserError(f"{out}: a model file is called *.npz")
    if share is not None and beside is None:
        raise UserError("--share is of the members of another checkpoint; give --with CKPT")
    check_writable(out)
    restored = model_file.restore(ckpt)
    if beside is not None:
        restored = merge.merged(restored, model_file.restore(beside), 0.5 if share is None else share)
    predictor = Predictor.of(restored, overrides, sections=("infer", "refine"))
    extras = {}
    try:
        extras[intervals.INTERVALS] = intervals.portable(predictor)
    except UserError as error:
        log.warning("without intervals: %s", error)
    try:
        check_refinable(predictor.config)
        extras[learn.PRIOR], extras[quality.USUAL] = learn.portable(predictor), quality.usual(predictor)
    except UserError as error:
        log.warning("without refining and quality control: %s", error)
    if refined:
        extras[calibration.REFINED] = calibration.portable(predictor)
    model_file.write(out, predictor.restored, extras, predictor.config)
    return out


def parser() -> DoorParser:
    """Of the command line."""
    door = DoorParser(
        "export",
        description="Write a trained run's checkpoint to one small file, large arrays in half precision, that --ckpt "
        "takes everywhere: with what intervals and refining need to know of its errors.",
        epilog="Settings of [refine] and [infer] may be changed: --refine.prior-samples 240",
        sections=("refine", "infer"),
    )
    door.add_checkpoint()
    door.add_argument("--out", required=True, type=Path, metavar="FILE.npz", help="the model file")
    door.add_argument(
        "--with", dest="beside", metavar="CKPT", help="another checkpoint, whose members predict beside its own"
    )
    door.add_argument(
        "--share", type=float, metavar="FRACTION", help="of the weight that its members have (default 0.5)"
    )
    door.add_argument(
        "--refined-intervals", action="store_true", help="with what intervals of refined models need: takes minutes"
    )
    return door


@front_door
def main(argv: Sequence[str]) -> None:
    options, overrides = parser().read(argv)
    out = export(options.ckpt, options.out, overrides, options.refined_intervals, options.beside, options.share)
    print(f"{out}: {size_text(out.stat().st_size)}; next: python -m jax_inversion.infer --ckpt {out} --data DIR")


if __name__ == "__main__":
    raise SystemExit(main())
