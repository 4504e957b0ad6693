"""Figures of numbers against numbers: training, errors with depth, spectra, histograms."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .canvas import ACCENTS, INK, canvas, colours, plain


def error_by_depth(curves: Mapping[str, np.ndarray], spacing_m: float, title: str = "MAPE with depth") -> Figure:
    """MAPE (depth,), fractions, of each named system."""
    figure = canvas(4.8, 5.4)
    ax = plain(figure.subplots(), title, "MAPE (%)", "depth (m)")
    for (name, curve), colour in zip(curves.items(), colours(len(curves)), strict=True):
        depth_m = np.arange(len(curve)) * spacing_m
        ax.plot(100 * np.asarray(curve), depth_m, color=colour, linewidth=1.3, label=name)
        ax.set_ylim(depth_m[-1], 0)
    ax.set_xlim(left=0)
    ax.legend(fontsize=8.5)
    return figure


def sample_scores(mape: Mapping[str, float], title: str = "Samples, from best to worst") -> Figure:
    """MAPE of each sample in rising order, the mean as a line."""
    ordered = 100 * np.sort(list(mape.values()))
    figure = canvas(6.0, 3.2)
    ax = plain(figure.subplots(), title, "sample", "MAPE (%)")
    ax.bar(np.arange(1, len(ordered) + 1), ordered, color=colours(1)[0], width=0.85)
    ax.axhline(ordered.mean(), color=INK, linewidth=1, linestyle="--", label=f"mean {ordered.mean():.2f} %")
    ax.legend(fontsize=8.5)
    return figure


def amplitude_spectrum(frequency_hz: np.ndarray, level_db: np.ndarray, marks: Mapping[str, float]) -> Figure:
    """Level (dB below the peak) against frequency, with named frequencies marked."""
    figure = canvas(6.4, 3.4)
    ax = plain(figure.subplots(), "Mean amplitude spectrum", "frequency (Hz)", "level (dB)")
    ax.plot(frequency_hz, level_db, color=colours(1)[0], linewidth=1.3)
    for (name, at_hz), colour in zip(marks.items(), colours(1 + len(marks))[1:], strict=True):
        ax.axvline(at_hz, color=colour, linewidth=1, linestyle="--", label=f"{name} {at_hz:.1f} Hz")
    ax.set_xlim(0, min(frequency_hz[-1], 2.2 * max(marks.values())))
    ax.set_ylim(-70, 3)
    ax.legend(fontsize=8.5)
    return figure


def histogram(counts: np.ndarray, edges: np.ndarray, title: str, x_label: str, logarithmic: bool = False) -> Figure:
    """A histogram whose bars are shares of all values, in per cent."""
    figure = canvas(6.0, 3.4)
    ax = plain(figure.subplots(), title, x_label, "share (%)")
    ax.bar(edges[:-1], 100 * counts / max(counts.sum(), 1), np.diff(edges), align="edge", color=colours(1)[0])
    if logarithmic:
        ax.set_yscale("log")
    return figure


def training_curves(lines: Sequence[Mapping[str, int | float]]) -> Figure:
    """What a run logged (``training.tracking``): loss, MAPE of training and validation, terms, learning rate.

    Thin lines are single members.
    """
    figure = canvas(11.0, 6.4)
    axes = figure.subplots(2, 2)
    blue, red, green, *_ = ACCENTS
    _members(axes[0, 0], lines, "train/loss", blue, "loss, mean of members")
    plain(axes[0, 0], "Training loss", "epoch", "loss")
    _members(axes[0, 1], lines, "train/mape", blue, "training", 100.0)
    _members(axes[0, 1], lines, "validation/mape", red, "validation, ensemble", 100.0, marker="o")
    _line(axes[0, 1], lines, "validation/linear_mape", green, "validation, linear regression", 100.0, linestyle="--")
    plain(axes[0, 1], "MAPE", "epoch", "MAPE (%)")
    terms = ("mape", "l2", "gradient", "total_variation", "physics")
    for term, colour in zip(terms, colours(len(terms)), strict=True):
        _line(axes[1, 0], lines, f"train/{term}", colour, term.replace("_", " "))
    plain(axes[1, 0], "Terms of the loss, unweighted", "epoch", "")
    _line(axes[1, 1], lines, "learning_rate", blue, "learning rate")
    plain(axes[1, 1], "Learning rate", "epoch", "")
    for ax in axes[0, 0], axes[1, 0]:
        if any(np.any(np.asarray(line.get_ydata()) > 0) for line in ax.lines):
            ax.set_yscale("log")
    for ax in axes.flat:
        if ax.lines:
            ax.legend(fontsize=8.5, framealpha=0.6)
    return figure


def _members(
    ax: Axes,
    lines: Sequence[Mapping[str, int | float]],
    key: str,
    colour: str,
    label: str,
    scale: float = 1.0,
    marker: str = "",
) -> None:
    single = sorted({name for line in lines for name in line if name.startswith(f"{key}/")})
    for name in single:
        _line(ax, lines, name, colour, "_single", scale, linewidth=0.6, alpha=0.5)
    _line(ax, lines, key, colour, label, scale, marker=marker, markersize=3)


def _line(
    ax: Axes,
    lines: Sequence[Mapping[str, int | float]],
    key: str,
    colour: str,
    label: str,
    scale: float = 1.0,
    **style: Any,
) -> None:
    points = [(line["epoch"], scale * line[key]) for line in lines if key in line]
    if points:
        options: dict[str, Any] = {"linewidth": 1.4} | style
        epochs, values = zip(*points, strict=True)
        ax.plot(epochs, values, color=colour, label=label, **options)
