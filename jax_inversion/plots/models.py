"""Figures of velocity models: panels of many, and truth beside prediction."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..arrays import Velocity
from ..survey import Survey
from .canvas import (
    DIFFERENCE_MAP,
    INK,
    SECTION_HEIGHT_IN,
    SPREAD_MAP,
    VELOCITY_MAP,
    canvas,
    colour_bar,
    colours,
    plain,
    section,
    section_width_in,
)

TRUTH_INK, PREDICTION_INK = INK, "#d1495b"


def model_panel(models: Sequence[Velocity], survey: Survey, titles: Sequence[str], title: str = "") -> Figure:
    """Models (x, depth) side by side under one colour scale, the survey's bounds."""
    width = section_width_in(survey)
    columns = max(1, min(len(models), int(15 / (width + 0.25))))
    rows = -(-len(models) // columns)
    figure = canvas(columns * (width + 0.25) + 1.5, rows * (SECTION_HEIGHT_IN if rows == 1 else 4.0) + 0.5, title)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for ax in axes.flat[len(models) :]:
        ax.set_visible(False)
    for ax, model, name in zip(axes.flat, models, titles, strict=False):
        image = section(ax, model, survey, name, colours=VELOCITY_MAP, low=survey.v_min_km_s, high=survey.v_max_km_s)
    for row in axes:
        row[0].set_ylabel("depth (m)", fontsize=9)
    colour_bar(figure, image, list(axes.flat), "velocity (km/s)")
    return figure


def comparison(
    truth: Velocity | None, prediction: Velocity, survey: Survey, *, spread: Velocity | None = None, title: str = ""
) -> Figure:
    """Truth, prediction, their difference, the members' spread (what there is of these), and profiles with depth."""
    width = section_width_in(survey)
    shown = 1 + 2 * (truth is not None) + (spread is not None)
    figure = canvas(shown * (width + 0.75) + 1.6 + 2.6, SECTION_HEIGHT_IN + 0.6, title)
    axes = list(figure.subplots(1, shown + 1, sharey=True, width_ratios=[width] * shown + [2.2]))
    axes[0].set_ylabel("depth (m)", fontsize=9)
    free = iter(axes)
    bounds = {"colours": VELOCITY_MAP, "low": survey.v_min_km_s, "high": survey.v_max_km_s}
    velocity_axes = []
    for name, model in (("truth", truth), ("prediction", prediction)):
        if model is not None:
            velocity_axes.append(next(free))
            image = section(velocity_axes[-1], model, survey, name, **bounds)
    colour_bar(figure, image, velocity_axes, "km/s")
    if truth is not None:
        difference = np.asarray(prediction) - np.asarray(truth)
        limit = max(float(np.percentile(np.abs(difference), 99)), 1e-3)
        ax = next(free)
        image = section(ax, difference, survey, "prediction\n- truth", colours=DIFFERENCE_MAP, low=-limit, high=limit)
        colour_bar(figure, image, ax, "km/s", extend="both")
    if spread is not None:
        ax, limit = next(free), max(float(np.percentile(spread, 99)), 1e-3)
        image = section(ax, spread, survey, "spread of\nmembers", colours=SPREAD_MAP, low=0.0, high=limit)
        colour_bar(figure, image, ax, "km/s", extend="max")
    _profiles(next(free), truth, prediction, survey)
    return figure


def correction(truth: Velocity, predicted: Velocity, refined: Velocity, survey: Survey, *, title: str = "") -> Figure:
    """Truth, prediction and refined model, and the errors of these two under one colour scale."""
    width = section_width_in(survey)
    figure = canvas(5 * (width + 0.75) + 1.8, SECTION_HEIGHT_IN + 0.6, title)
    axes = list(figure.subplots(1, 5, sharey=True))
    axes[0].set_ylabel("depth (m)", fontsize=9)
    bounds = {"colours": VELOCITY_MAP, "low": survey.v_min_km_s, "high": survey.v_max_km_s}
    for ax, name, model in zip(axes, ("truth", "predicted", "refined"), (truth, predicted, refined), strict=False):
        image = section(ax, model, survey, name, **bounds)
    colour_bar(figure, image, axes[:3], "km/s")
    errors = [np.asarray(model) - np.asarray(truth) for model in (predicted, refined)]
    limit = max(float(np.percentile(np.abs(errors[0]), 99)), 1e-3)
    for ax, name, error in zip(axes[3:], ("before", "after"), errors, strict=True):
        image = section(ax, error, survey, f"error {name}", colours=DIFFERENCE_MAP, low=-limit, high=limit)
    colour_bar(figure, image, axes[3:], "km/s", extend="both")
    return figure


def _profiles(ax: Axes, truth: Velocity | None, prediction: Velocity, survey: Survey) -> None:
    """Velocity with depth at a quarter, a half and three quarters of the section, set off from one another."""
    depth_m = np.arange(survey.nz) * survey.spacing_m
    offset = 0.45 * (survey.v_max_km_s - survey.v_min_km_s)
    columns = [round(f * (survey.nx - 1)) for f in (0.25, 0.5, 0.75)]
    for k, column in enumerate(columns):
        if truth is not None:
            ax.plot(np.asarray(truth)[column] + k * offset, depth_m, color=TRUTH_INK, linewidth=0.8, label="truth")
        ax.plot(
            np.asarray(prediction)[column] + k * offset,
            depth_m,
            color=PREDICTION_INK,
            linewidth=1.1,
            label="prediction",
        )
    names = ", ".join(f"{c * survey.spacing_m:.0f}" for c in columns)
    ax.set_title(f"profiles at x = {names} m", fontsize=9.5, color=INK)
    ax.set_xlabel(f"km/s, each set off by {offset:.2g}", fontsize=9)
    ax.tick_params(labelsize=8)
    ax.grid(True, color="#dddddd", linewidth=0.6)
    handles, labels = ax.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    ax.legend(unique.values(), unique.keys(), fontsize=8, loc="lower left", framealpha=0.9)


def depth_profiles(models: np.ndarray, survey: Survey, title: str = "Velocity with depth") -> Figure:
    """Mean, median, and the bands that hold 50 and 90 % of the cells of models (n, x, depth) at each depth."""
    cells = np.asarray(models).reshape(-1, survey.nz)
    p5, p25, p50, p75, p95 = np.percentile(cells, (5, 25, 50, 75, 95), axis=0)
    depth_m = np.arange(survey.nz) * survey.spacing_m
    figure = canvas(4.6, 5.4)
    ax = plain(figure.subplots(), title, "velocity (km/s)", "depth (m)")
    blue = colours(1)[0]
    ax.fill_betweenx(depth_m, p5, p95, color=blue, alpha=0.15, linewidth=0, label="5 to 95 %")
    ax.fill_betweenx(depth_m, p25, p75, color=blue, alpha=0.3, linewidth=0, label="25 to 75 %")
    ax.plot(p50, depth_m, color=blue, linewidth=1.4, label="median")
    ax.plot(cells.mean(axis=0), depth_m, color=INK, linewidth=1.0, linestyle="--", label="mean")
    ax.set_ylim(depth_m[-1], 0)
    ax.legend(fontsize=8.5, loc="lower left")
    return figure
