"""``python -m jax_inversion.report``: a page that lists the runs in a folder."""

from collections.abc import Sequence
from pathlib import Path

from .cli import DoorParser, front_door


def parser() -> DoorParser:
    """Of the command line."""
    door = DoorParser(
        "report",
        description="Write DIR/index.html, which lists the runs in DIR with their scores and links to their reports. "
        "The pipeline does that for runs in a folder called runs.",
    )
    door.add_argument("folder", type=Path, metavar="DIR", nargs="?", default=Path("runs"), help="default: runs")
    return door


@front_door
def main(argv: Sequence[str]) -> None:
    from .plots.index import index  # matplotlib takes a second to import

    options, _ = parser().read(argv)
    print(index(options.folder))


if __name__ == "__main__":
    raise SystemExit(main())
