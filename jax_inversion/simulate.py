"""``python -m jax_inversion.simulate``: samples with random, blended or given velocity models."""

from collections.abc import Sequence
from pathlib import Path

from . import config
from .cli import DoorParser, front_door
from .geology import PRESETS
from .physics.settings import SimulatorConfig
from .simulation import Job, make_set
from .survey import CHALLENGE, Survey
from .surveys import beside


def simulate(
    out: Path | str,
    count: int | None,
    *,
    start: int = 0,
    seed: int = 0,
    geology: str = "marine",
    workers: int = 0,
    survey: Survey = CHALLENGE,
    blend: Path | str | None = None,
    source: Path | str | None = None,
    truth: bool | Path | str = True,
    simulator: SimulatorConfig = SimulatorConfig(),  # noqa: B008 (frozen)
) -> list[str]:
    """Make samples ``start`` to ``start + count`` (exclusive) in ``out`` and return their ids: ``simulation.make_set``.

    Models are random ones of the preset ``geology``, weighted and mirrored blends of the models of the samples in
    ``blend``, or just those in ``source``, whose ids stay. ``truth``: True writes the models into the samples' folders,
    False nowhere, a path to ``truth/<id>/``.
    """
    job = Job(
        out=Path(out),
        survey=survey,
        seed=seed,
        geology=geology,
        blend=Path(blend) if blend is not None else None,
        source=Path(source) if source is not None else None,
        truth=truth if isinstance(truth, bool) else Path(truth),
        simulator=simulator,
    )
    return make_set(job, count, start, workers)


def parser() -> DoorParser:
    """Of the command line."""
    door = DoorParser(
        "simulate",
        description="Simulate shot gathers of random velocity models, written in the challenge's layout. "
        "The same command again goes on where it was; shards (--start, --count) may run side by side.",
        epilog="Settings of the [simulator] section may be changed: --simulator.boundary cpml",
        sections=("survey", "simulator"),
    )
    door.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder that the samples go to")
    door.add_argument("--count", type=int, metavar="N", help="how many samples (with --from: all unless given)")
    door.add_argument("--start", type=int, default=0, metavar="K", help="number of the first one (default 0)")
    door.add_argument("--seed", type=int, default=0, metavar="S", help="another seed, another set (default 0)")
    geology = f"{', '.join(PRESETS)}, or a mixture such as 'marine:3 salt:1' (default marine)"
    door.add_argument("--geology", default="marine", metavar="G", help=geology)
    door.add_argument("--workers", type=int, default=0, metavar="W", help="processes (default 0: one a core)")
    door.add_argument("--blend", type=Path, metavar="DIR", help="new models: blends of those of the samples in DIR")
    door.add_argument("--from", type=Path, dest="source", metavar="DIR", help="simulate the models in DIR, ids kept")
    truth = door.add_mutually_exclusive_group()
    truth.add_argument("--truth", type=Path, metavar="DIR", help="write the models there, apart from the gathers")
    truth.add_argument("--no-truth", action="store_true", help="write no models")
    door.add_argument("--spacing", metavar="M", help="short for --simulator.spacing-m: cells of the simulator")
    door.add_argument(
        "--survey", type=Path, metavar="CONFIG.toml", help="preset with survey and simulator (default: beside DIR)"
    )
    return door


@front_door
def main(argv: Sequence[str]) -> None:
    options, overrides = parser().read(argv)
    known = options.survey or beside(options.source or options.blend)
    settings = config.survey_and_simulator(known, options.spacing, overrides)
    ids = simulate(
        options.out,
        options.count,
        start=options.start,
        seed=options.seed,
        geology=options.geology,
        workers=options.workers,
        survey=settings.survey,
        blend=options.blend,
        source=options.source,
        truth=options.truth or not options.no_truth,
        simulator=settings.simulator,
    )
    print(f"{options.out}: {len(ids)} samples")


if __name__ == "__main__":
    raise SystemExit(main())
