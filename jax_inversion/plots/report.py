"""One self-contained HTML page a run: scores, predictions, curves, data and settings."""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from .. import config as configs
from ..errors import UserError
from ..inference.scores import misfit_words, spread_words, verdict
from ..inference.scores import table as score_table
from ..regression import TITLES
from ..training.tracking import read_metrics
from .canvas import png
from .curves import error_by_depth, training_curves
from .html import folded, image, page, paragraph, table
from .rows import INTERVALS_HEADING, REFINED_HEADING, depth_rows, interval_rows, refined_rows, refined_words

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


def report(run: Path | str, refined: Mapping[str, Mapping[str, Any]] | None = None) -> Path:
    """Write RUN/report.html from what lies in RUN: config.toml, metrics.jsonl, scores.json and figures/**/*.png.

    ``scores.json`` maps names of systems, the run's own first, to what ``inference.scores.summarise`` gives, some with
    their ``intervals``; ``refined`` is what became of each sample in refining, by id. Whatever is missing is left out.
    ``UserError`` where there is no run.
    """
    run = Path(run)
    if not (run / "config.toml").exists():
        raise UserError(f"{run}: not a run; there is no {run / 'config.toml'}")
    settings = configs.load(run / "config.toml")
    systems = json.loads((run / SCORES).read_text()) if (run / SCORES).exists() else {}
    left = sorted((run / "figures").rglob("*.png"))
    parts = [paragraph(_summary(settings), "quiet")]
    parts += _score_parts(systems, settings.survey.spacing_m)
    parts += _refined_parts(refined or {}, systems, [*_figures(left, "refined")])
    parts += _interval_parts(systems, [*_figures(left, "intervals")])
    if lines := read_metrics(run):
        parts += [
            "<h2>Training</h2>",
            *_training_words(lines, settings),
            image(png(training_curves(lines)), "Thin: one member."),
        ]
    parts += _figure_parts(left)
    text = escape((run / "config.toml").read_text())
    parts += ["<h2>Settings</h2>", folded("config.toml", f"<pre>{text}</pre>")]
    return page(run / "report.html", run.resolve().name, parts)


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


def _score_parts(systems: Mapping[str, dict[str, Any]], spacing_m: float) -> Iterator[str]:
    if not systems:
        return
    own = next(iter(systems.values()))
    yield f"<h2>Scores of {own['samples']} test samples</h2>"
    yield from map(paragraph, verdict({"refined": systems["refined"], **systems} if "refined" in systems else systems))
    heading, *rows = score_table(systems)
    yield table(heading, rows, "own")
    if words := spread_words(own.get("spread")):
        yield paragraph(f"Spread of the members: {words}.")
    if words := misfit_words(own.get("misfit")):
        yield paragraph(f"Misfit: {words}.")
    curves = {name: np.asarray(scores["mape_at_depth"]) for name, scores in systems.items()}
    yield image(png(error_by_depth(curves, spacing_m)), "Error with depth.")
    worst = sorted(own["per_sample"].items(), key=lambda item: -item[1])[:5]
    yield table(("worst samples", "MAPE"), [(sample, f"{100 * value:.2f} %") for sample, value in worst])


def _refined_parts(
    told: Mapping[str, Mapping[str, Any]], systems: Mapping[str, dict[str, Any]], figures: Sequence[str]
) -> Iterator[str]:
    if told:
        yield "<h2>Refined by the wave equation</h2>"
        yield paragraph(refined_words(told, systems))
        yield folded("each sample", table(REFINED_HEADING, refined_rows(told, systems), "words"))
        yield from figures


def _interval_parts(systems: Mapping[str, dict[str, Any]], figures: Sequence[str]) -> Iterator[str]:
    if rows := list(interval_rows(systems)):
        yield "<h2>Intervals</h2>"
        yield paragraph(
            "Calibrated on validation samples: how many cells of the test samples lie within, with its standard error "
            "over samples. The narrower the better, and the lower the score."
        )
        yield table(INTERVALS_HEADING, rows)
        for name, scores in systems.items():
            if intervals := scores.get("intervals"):
                yield paragraph(f"Cells within by depth, {name}:")
                yield table(*depth_rows(intervals))
        yield from figures


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
    yield paragraph(f"{words}.")
    if rows := list(_member_rows(best, settings)):
        yield table(
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


def _figure_parts(left: list[Path]) -> Iterator[str]:
    for heading, beginnings, words in (*_SECTIONS, ("More", "", "")):
        if figures := list(_figures(left, beginnings)):
            yield f"<h2>{heading}</h2>{paragraph(words)}"
            yield from figures


def _figures(left: list[Path], beginnings: str | tuple[str, ...]) -> Iterator[str]:
    """The figures in ``left`` whose names begin so; they are taken out of it."""
    for path in [path for path in left if path.name.startswith(beginnings)]:
        left.remove(path)
        yield image(path.read_bytes(), path.stem.replace("_", " "))
