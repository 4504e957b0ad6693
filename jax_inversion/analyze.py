"""``python -m jax_inversion.analyze``: what a folder of samples holds, in numbers and figures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import config
from .cli import DoorParser, front_door
from .data.analysis import Analysis, examine, text
from .data.folders import read_gathers
from .data.statistics import evenly
from .files import check_writable
from .survey import CHALLENGE, Survey
from .surveys import beside

DRAWN = 8  # models and
GATHERS_DRAWN = 2  # gathers


def analyze(data: Path | str, out: Path | str | None = None, survey: Survey = CHALLENGE) -> tuple[str, list[Path]]:
    """The findings of ``data.analysis.examine`` in words, and the figures drawn in ``out`` (default DATA/analysis)."""
    data = Path(data)
    out = Path(out) if out else data / "analysis"
    check_writable(out, folder=True)
    found = examine(data, survey)
    figures = _draw(found, survey, out)
    names = ", ".join(path.name for path in figures)
    return f"{text(found, survey)}\n{'figures':<12} {out}: {names}", figures


def _draw(found: Analysis, survey: Survey, out: Path) -> list[Path]:
    from . import plots  # matplotlib takes a second to import

    figures = {}
    for k in evenly(len(found.chosen), GATHERS_DRAWN):
        sample = found.chosen[k]
        figures[f"gathers_{len(figures) + 1}"] = plots.gather_panel(
            read_gathers(sample, survey), survey, title=f"{sample.id}, automatic gain", gain="agc"
        )
    frequency, level = found.amplitudes.spectrum()
    marks = {"peak": found.amplitudes.peak_hz(), "-40 dB": found.amplitudes.highest_hz()}
    figures["spectrum"] = plots.amplitude_spectrum(frequency, level, marks)
    if found.models:
        ids = list(found.models)
        shown = [ids[k] for k in evenly(len(ids), DRAWN)]
        stack = np.stack(list(found.models.values()))
        figures["models"] = plots.model_panel([found.models[i] for i in shown], survey, shown)
        counts, edges = np.histogram(stack, 60)
        figures["velocity_histogram"] = plots.histogram(counts, edges, "Velocities of all cells", "velocity (km/s)")
        figures["velocity_with_depth"] = plots.depth_profiles(stack, survey)
    return [plots.save(figure, out / f"{name}.png") for name, figure in figures.items()]


def parser() -> DoorParser:
    """Of the command line."""
    door = DoorParser(
        "analyze",
        description="Count and check the samples of a folder, measure and draw amplitudes, spectrum, velocities.",
    )
    door.add_argument("--data", type=Path, required=True, metavar="DIR", help="train/ and test/, or samples themselves")
    door.add_argument("--out", type=Path, metavar="DIR", help="folder for the figures (default: DATA/analysis)")
    door.add_argument(
        "--survey", type=Path, metavar="CONFIG.toml", help="preset with their survey (default: the one beside them)"
    )
    return door


@front_door
def main(argv: Sequence[str]) -> None:
    options, _ = parser().read(argv)
    known = options.survey or beside(options.data)
    survey = config.load(known).survey if known else CHALLENGE
    print(analyze(options.data, options.out, survey)[0])


if __name__ == "__main__":
    raise SystemExit(main())
