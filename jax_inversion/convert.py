"""``python -m jax_inversion.convert``: other people's samples into folders, and samples or submissions out of them.

(``python -m jax_inversion import`` is the same door; the word is Python's own, so that no module can have it.)
"""

import argparse
import logging
import math
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Literal

from .cli import DoorParser, front_door
from .data.folders import MODEL_FILE, SPLITS, Split, find_samples, read_gathers, read_velocity
from .data.intake import prepare, take_in
from .errors import UserError
from .files import check_writable
from .formats.export import SHARD, Stock
from .formats.export import export as write_all
from .formats.named_arrays import GATHER_AXES, MODEL_AXES, Names, open_arrays
from .formats.openfwi import OPENFWI, open_shards
from .formats.segy import open_segy
from .formats.shipment import Shipment
from .inference.submission import read_submission
from .progress import in_threads
from .survey import CHALLENGE, Survey
from .surveys import SURVEY_FILE, beside, keep_survey, survey_of

_FROM = ("from openfwi", "from segy", "from hdf5", "from npz")
_ONLY = {  # where the options act that do not act everywhere
    "velocity": _FROM[1:],
    "origin_m": ("from segy",),
    **dict.fromkeys(("gathers", "axes", "gather_axes", "units"), ("from hdf5", "from npz")),
    **dict.fromkeys(("split", "prefix", "no_truth"), _FROM),
    "shard": ("to openfwi",),
}

log = logging.getLogger(__name__)


def convert(shipment: Shipment, out: Path | str, survey: Survey, split: Split = "train", prefix: str = "") -> list[str]:
    """Write the samples as ``out/split/<prefix><id>/``, and their survey as ``out/survey.toml``; returns the ids.

    Samples that are there already are left alone, so that the same call again goes on where it was. ``UserError`` where
    shapes are not the survey's, a sample is bad, or other samples have the place.
    """
    out = Path(out)
    for what, found, right in (
        ("gathers (shot, time, receiver)", shipment.gathers_shape, survey.gathers_shape),
        ("models (x, depth)", shipment.model_shape, survey.model_shape),
    ):
        if found not in (None, right):
            raise UserError(f"the {what} are {found}, the survey's {right}; give the right --survey")
    ids = [prefix + sample_id for sample_id in shipment.ids]
    check_writable(out, folder=True)
    prepare(out, split, ids)
    keep_survey(out / SURVEY_FILE, survey)

    def work(number: int) -> tuple[float, float]:
        gathers, velocity = shipment.read(number)
        take_in(out / split, ids[number], survey, gathers, velocity)
        return (math.inf, -math.inf) if velocity is None else (float(velocity.min()), float(velocity.max()))

    lows, highs = zip(*in_threads(work, range(len(ids)), "converting"), strict=True)
    if min(lows) < survey.v_min_km_s or max(highs) > survey.v_max_km_s:
        log.warning(
            "velocities are %.4g to %.4g km/s, the survey's bounds %g to %g: predictions are clipped there; "
            "--survey.v-min-km-s and --survey.v-max-km-s move them",
            *(min(lows), max(highs), survey.v_min_km_s, survey.v_max_km_s),
        )
    return ids


def export(
    source: Path | str, out: Path | str, kind: Literal["segy", "openfwi"], survey: Survey, shard: int = SHARD
) -> list[Path]:
    """Write the samples below the folder ``source``, or the models of a submission, as ``formats.export`` says."""
    source, out = Path(source), Path(out)
    check_writable(out, folder=True)
    with ExitStack() as stack:
        if source.suffix == ".npz":
            submission = stack.enter_context(read_submission(source))
            models = partial(submission.read, shape=survey.model_shape)
            return write_all(Stock(submission.ids, None, models), out, kind, survey, shard)
        samples = {sample.id: sample for sample in find_samples(source, None, survey)}
        known = [(sample.path / MODEL_FILE).exists() for sample in samples.values()]
        if any(known) and not all(known):
            raise UserError(f"{source}: {sum(known)} of {len(known)} samples have {MODEL_FILE}; right is all or none")
        stock = Stock(
            tuple(samples),
            lambda name: read_gathers(samples[name], survey),
            (lambda name: read_velocity(samples[name], survey)) if all(known) else None,
        )
        return write_all(stock, out, kind, survey, shard)


def _opened(options: argparse.Namespace) -> Shipment:
    kind, velocity = options.source_format, None if options.no_truth else options.velocity
    if kind == "openfwi":
        return open_shards(options.sources, velocity=not options.no_truth)
    if kind == "segy":
        return open_segy(options.sources, [Path(p) for p in velocity or ()], options.origin_m or 0.0)
    if velocity is not None and len(velocity) != 1:
        raise UserError(f"--velocity names one array, here are {len(velocity)}")
    names = Names(
        options.gathers or "gathers",
        None if options.no_truth else (velocity or ["velocity"])[0],
        tuple((options.gather_axes or ",".join(GATHER_AXES)).split(",")),
        tuple((options.axes or ",".join(MODEL_AXES)).split(",")),
        options.units or "km/s",
    )
    return open_arrays(options.sources, kind, names)


def parser() -> DoorParser:
    """Of the command line."""
    door = DoorParser(
        "convert",
        description="Other people's samples into the challenge's folders, OUT/train/<id>, or samples and submissions "
        "into other people's formats. The same command again goes on where it was.",
        epilog="What files do not say of their survey, and no --survey FILE, is given as in --survey.nx 300.",
        sections=("survey",),
    )
    either = door.add_mutually_exclusive_group(required=True)
    either.add_argument("--from", dest="source_format", choices=("openfwi", "segy", "hdf5", "npz"), help="read this")
    either.add_argument("--to", dest="target_format", choices=("segy", "openfwi"), help="write this")
    door.add_argument(
        "--in", dest="sources", type=Path, nargs="+", required=True, metavar="PATH",
        help="openfwi: shards of gathers, or folders of them; segy: a file a sample, or a folder of its shots; "
        "with --to: a folder of samples, or a submission",
    )  # fmt: skip
    door.add_argument("--out", type=Path, required=True, metavar="DIR", help="where samples or files go")
    door.add_argument("--survey", type=Path, metavar="CONFIG.toml", help="preset with the files' survey")
    door.add_argument("--split", choices=SPLITS, help="OUT/train (default) or OUT/test")
    door.add_argument("--prefix", metavar="TEXT", help="what the samples' ids begin with")
    door.add_argument("--no-truth", action="store_true", help="gathers alone, whether or not there are models")
    door.add_argument("--velocity", nargs="+", metavar="V", help="segy: sections, one a sample; else the array's name")
    door.add_argument("--gathers", metavar="NAME", help="hdf5, npz: name of the array (default gathers)")
    door.add_argument("--axes", metavar="A,B", help="hdf5, npz: of models, after samples (default x,depth)")
    door.add_argument("--gather-axes", metavar="A,B,C", help="hdf5, npz: likewise (default shot,time,receiver)")
    door.add_argument("--units", choices=("km/s", "m/s"), help="hdf5, npz: of velocities (default km/s)")
    door.add_argument("--origin-m", type=float, metavar="X", help="segy: x of the model's first cell (default 0)")
    door.add_argument("--shard", type=int, metavar="N", help=f"to openfwi: samples in a shard (default {SHARD})")
    return door


@front_door
def main(argv: Sequence[str]) -> None:
    options, overrides = parser().read(argv)
    way = f"from {options.source_format}" if options.source_format else f"to {options.target_format}"
    for name, ways in _ONLY.items():
        idle = getattr(options, name) is None or getattr(options, name) is False
        if not idle and way not in ways:
            raise UserError(f"--{name.replace('_', '-')} has no effect with --{way}")
    if options.source_format:
        shipment = _opened(options)
        default = OPENFWI if options.source_format == "openfwi" else None
        survey = survey_of(shipment.geometry, options.survey, overrides, default)
        split = options.split or "train"
        ids = convert(shipment, options.out, survey, split, options.prefix or "")
        print(f"{options.out / split}: {len(ids)} samples; their survey is {options.out / SURVEY_FILE}")
        return
    if len(options.sources) != 1:
        raise UserError("--to takes one --in: a folder of samples, or a submission")
    (source,) = options.sources
    default = OPENFWI if options.target_format == "openfwi" else CHALLENGE
    survey = survey_of({}, options.survey or beside(source), overrides, default)
    files = export(
        source, options.out, options.target_format, survey, SHARD if options.shard is None else options.shard
    )
    print(f"{options.out}: {len(files)} files")


if __name__ == "__main__":
    raise SystemExit(main())
