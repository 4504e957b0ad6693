"""One self-contained HTML page a run: scores, predictions, curves, data and settings."""

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from .. import config as configs
from ..errors import UserError
from ..files import write_aside
from ..inference.scores import misfit_words, spread_words, table, verdict
from ..regression import TITLES
from ..training.tracking import read_metrics
from .canvas import png
from .curves import error_by_depth, training_curves

SCORES = "scores.json"
# sections of the page: heading, how the figures' names begin, what to say of them
_SECTIONS = (
    (
        "Predictions",
        "prediction",
        "Truth, prediction, their difference and the spread of the members, depth in metres.",
    ),
    (
        "Gathers of the predictions",
        "quality",
        "What the section adds to the background's response: observed, simulated in the prediction, their difference.",
    ),
    ("Errors", "mape", "Mean absolute percentage error of the test samples."),
    ("Models", ("models", "velocity"), "Velocity models of the data, and their statistics."),
    ("Gathers", ("gathers", "spectrum"), "Recorded pressure, time down; stars mark the sources."),
)
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#222;max-width:1180px;margin:2em auto;padding:0 1em}
h1{margin-bottom:0}h2{margin-top:2em;border-bottom:1px solid #ddd}img{max-width:100%;margin:.4em 0}
table{border-collapse:collapse}td,th{padding:.25em 1em;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}tr:nth-child(2) td{font-weight:bold}
figure{margin:1em 0}figcaption,.quiet{color:#666;font-size:.9em}pre{background:#f6f6f6;padding:1em;overflow:auto}
"""


def report(run: Path | str) -> Path:
    """Write RUN/report.html from what lies in RUN: config.toml, metrics.jsonl, scores.json and figures/**/*.png.

    ``scores.json`` maps names of systems, the run's own first, to what ``inference.scores.summarise`` gives. Whatever
    is missing is left out. ``UserError`` where there is no run.
    """
    run = Path(run)
    if not (run / "config.toml").exists():
        raise UserError(f"{run}: not a run; there is no {run / 'config.toml'}")
    settings = configs.load(run / "config.toml")
    name = run.resolve().name
    parts = [f"<h1>{escape(name)}</h1>", f'<p class="quiet">{escape(_summary(settings))}</p>']
    parts += _score_parts(run / SCORES, settings.survey.spacing_m)
    if lines := read_metrics(run):
        parts += [
            "<h2>Training</h2>",
            *_training_words(lines, settings),
            _image(png(training_curves(lines)), "Thin: one member."),
        ]
    parts += _figure_parts(run / "figures")
    text = escape((run / "config.toml").read_text())
    parts.append(f"<h2>Settings</h2><details><summary>config.toml</summary><pre>{text}</pre></details>")
    head = f'<meta charset="utf-8"><title>{escape(name)}</title><style>{_STYLE}</style>'
    with write_aside(run / "report.html") as aside:
        aside.write_text(f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n")
    return run / "report.html"


def _summary(settings: configs.Config) -> str:
    survey, train = settings.survey, settings.train
    members = " and ".join(
        f"{group.ensemble.members} members of {group.model.name!r}"
        + ("" if group.base.regression == "none" else f" on {TITLES[group.base.regression]}")
        for group in settings.groups.values()
    )
    return (
        f"{members}, {train.epochs} epochs of batches of "
        f"{train.batch_size}; {survey.shots} shots, {survey.receivers} receivers, {survey.duration_s:g} s every "
        f"{1e3 * settings.preprocess.dt_s:g} ms; models of {survey.nx} by {survey.nz} cells of {survey.spacing_m:g} m"
    )


def _score_parts(path: Path, spacing_m: float) -> Iterator[str]:
    if not path.exists():
        return
    systems: dict[str, dict[str, Any]] = json.loads(path.read_text())
    own = next(iter(systems.values()))
    yield f"<h2>Scores of {own['samples']} test samples</h2>"
    yield from (f"<p>{escape(sentence)}</p>" for sentence in verdict(systems))
    heading, *rows = table(systems)
    yield _table(heading, rows)
    if words := spread_words(own.get("spread")):
        yield f"<p>Spread of the members: {escape(words)}.</p>"
    if words := misfit_words(own.get("misfit")):
        yield f"<p>Misfit: {escape(words)}.</p>"
    curves = {name: np.asarray(scores["mape_at_depth"]) for name, scores in systems.items()}
    yield _image(png(error_by_depth(curves, spacing_m)), "Error with depth.")
    worst = sorted(own["per_sample"].items(), key=lambda item: -item[1])[:5]
    yield _table(("worst samples", "MAPE"), [(sample, f"{100 * value:.2f} %") for sample, value in worst])


def _training_words(lines: Sequence[Mapping[str, int | float]], settings: configs.Config) -> Iterator[str]:
    scored = [line for line in lines if "validation/mape" in line]
    if not scored:
        return
    best = min(scored, key=lambda line: line["validation/mape"])
    words = f"Best validation MAPE {100 * best['validation/mape']:.2f} % at epoch {best['epoch']:g}"
    baseline = best.get("validation/linear_mape")
    if baseline is not None:
        relation = "below" if best["validation/mape"] < baseline else "not below"
        words += f", {relation} the linear regression's {100 * baseline:.2f} %"
    yield f"<p>{escape(words)}.</p>"
    if rows := list(_member_rows(best, settings)):
        yield _table(
            ("on validation samples", "MAPE", "weight"), [*rows, ("average", _percent(best["validation/mape"]), "1")]
        )


def _member_rows(line: Mapping[str, int | float], settings: configs.Config) -> Iterator[tuple[str, str, str]]:
    """What each group and each of its members scores alone, and its weight in the average."""
    number = 0
    for name, group in settings.groups.items():
        members = range(number, number := number + group.ensemble.members)
        weights = [line[key] for k in members if (key := f"ensemble/weight/{k}") in line]
        if (mape := line.get(f"validation/mape/{name}")) is not None:
            yield f"group {name}", _percent(mape), f"{sum(weights):.3f}"
        for k, weight in zip(members, weights, strict=False):
            if (mape := line.get(f"validation/mape/{k}")) is not None:
                yield f"member {k}, {name}", _percent(mape), f"{weight:.3f}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.2f} %"


def _figure_parts(folder: Path) -> Iterator[str]:
    left = sorted(folder.rglob("*.png"))
    for heading, beginnings, words in _SECTIONS:
        chosen = [path for path in left if path.name.startswith(beginnings)]
        left = [path for path in left if path not in chosen]
        yield from _section(heading, words, chosen)
    yield from _section("More", "", left)


def _section(heading: str, words: str, paths: Sequence[Path]) -> Iterator[str]:
    if paths:
        yield f"<h2>{heading}</h2><p>{words}</p>"
        yield from (_image(path.read_bytes(), path.stem.replace("_", " ")) for path in paths)


def _image(data: bytes, caption: str) -> str:
    source = base64.b64encode(data).decode()
    text = escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{source}"><figcaption>{text}</figcaption></figure>'


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + line("th", heading) + "".join(line("td", row) for row in rows) + "</table>"
