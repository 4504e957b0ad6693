"""``python -m jax_inversion.calibrate``: does the simulator make the gathers that go with these models?"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import config
from .cli import DoorParser, front_door
from .files import check_writable, write_aside
from .simulation import calibrate
from .simulation.calibration import LATE_S
from .surveys import beside


def text(result: dict[str, Any]) -> str:
    """The figures as lines for a terminal."""
    lines = [
        f"residual (relative L2) as it is, then with gain and delay fitted; 'late' is after {LATE_S:g} s",
        f"{'':26}{'whole':>9}{'late':>9}{'whole':>9}{'late':>9}{'gain':>11}{'delay':>12}",
    ]
    for one in result["samples"]:
        lines.append(f"{one['id'][:25]:26}{_row(one)}{one['gain']:11.5f}{one['delay_ms']:9.4f} ms")
        for shot in range(len(one["shots"]["residual"])):
            lines.append(f"{f'  shot {shot + 1}':26}" + _row({k: v and v[shot] for k, v in one["shots"].items()}))
    lines.append(f"{'median':26}{_row(result)}{result['gain']:11.5f}{result['delay_ms']:9.4f} ms")
    return "\n".join([*lines, f"sign {result['sign']:+d}", result["judgement"]])


def _row(of: dict[str, Any]) -> str:
    names = ("residual", "late", "matched", "matched_late")
    return "".join(f"{'-':>9}" if of[name] is None else f"{of[name]:9.2%}" for name in names)


def parser() -> DoorParser:
    """Of the command line."""
    door = DoorParser(
        "calibrate",
        description="Compare the simulator with samples that have gathers and model: gain, sign and delay, the "
        "residual of each shot, and whether simulated samples would do as training data for these.",
        epilog="Settings of the [simulator] section may be changed: --simulator.boundary cpml",
        sections=("survey", "simulator"),
    )
    door.add_argument("--data", type=Path, required=True, metavar="DIR", help="samples with their velocity models")
    door.add_argument("--count", type=int, default=8, metavar="N", help="how many of them, the first (default 8)")
    door.add_argument("--spacing", metavar="M", help="short for --simulator.spacing-m: cells of the simulator")
    door.add_argument(
        "--survey", type=Path, metavar="CONFIG.toml", help="preset with survey and simulator (default: beside DIR)"
    )
    door.add_argument("--json", type=Path, metavar="FILE", help="write all figures there too")
    return door


@front_door
def main(argv: Sequence[str]) -> None:
    options, overrides = parser().read(argv)
    settings = config.survey_and_simulator(options.survey or beside(options.data), options.spacing, overrides)
    if options.json:
        check_writable(options.json)
    result = calibrate(options.data, options.count, settings.survey, settings.simulator)
    print(text(result))
    if options.json:
        with write_aside(options.json) as aside:
            aside.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
