"""A page that lists the runs in a folder, a line each; a run that is damaged has a line too."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..runs import Run
from .html import Markup, link, page, paragraph, table

_HEADING = (
    "run", "date", "test samples", "MAPE", "refined", "kernel regression", "minutes", "report",
)  # fmt: skip


def index(folder: Path | str) -> Path:
    """Write FOLDER/index.html: name, date, scores, minutes and report of each run in it, the newest first.

    ``UserError`` where there is no run.
    """
    folder = Path(folder)
    if (folder / "config.toml").exists():
        raise UserError(f"{folder}: is a run itself; right is the folder that it lies in, {folder.parent}")
    runs = [Run(path.parent) for path in folder.glob("*/config.toml") if not path.parent.name.startswith(".")]
    if not runs:
        raise UserError(f"{folder}: no runs in it; right is a folder of runs, such as runs")
    rows = [row for _, row in sorted(((_date(run), _row(run)) for run in runs), reverse=True)]
    words = "MAPE of the run's own test samples; minutes of the pipeline, all sittings together."
    return page(
        folder / "index.html", f"Runs in {folder.resolve().name}", [paragraph(words, "quiet"), table(_HEADING, rows)]
    )


def _row(run: Run) -> tuple[str | Markup, ...]:
    scores, fault = _scores(run)
    own, minutes = scores.get("ensemble"), sum(minutes for _, minutes in run.read_sittings())
    mapes = (_percent(scores.get(name)) for name in ("ensemble", "refined", "kernel regression"))
    count = str(own.get("samples", "-")) if isinstance(own, dict) else "-"
    report = link(f"{run.path.name}/report.html", "report") if run.report.is_file() else "-"
    return run.path.name, _date(run), count, *mapes, f"{minutes:.1f}" if minutes else "-", fault or report


def _scores(run: Run) -> tuple[dict[str, Any], str]:
    """What the run scored, and what is wrong with that."""
    try:
        found = json.loads(run.scores.read_text())
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError):
        found = None
    return (found, "") if isinstance(found, dict) else ({}, "scores.json is damaged")


def _percent(scores: Any) -> str:
    mape = scores.get("mape") if isinstance(scores, dict) else None
    return f"{100 * mape:.2f} %" if isinstance(mape, int | float) else "-"


def _date(run: Run) -> str:
    """When the last sitting began; without one, when the settings were written."""
    if sittings := run.read_sittings():
        return sittings[-1][0][:16].replace("T", " ")
    return datetime.fromtimestamp(run.config.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M")
