"""Figures of intervals: profiles with the bands that the truth is to lie in."""

from collections.abc import Mapping

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from ..arrays import Velocity
from ..survey import Survey
from .canvas import canvas, colours, plain
from .models import PREDICTION_INK, TRUTH_INK


def interval_profiles(
    truth: Velocity | None,
    prediction: Velocity,
    bounds: Mapping[float, tuple[Velocity, Velocity]],
    survey: Survey,
    *,
    title: str = "",
) -> Figure:
    """Velocity with depth at a quarter, a half and three quarters of the section, and in between the lower and the
    upper models of each level, the widest palest.
    """
    depth_m = np.arange(survey.nz) * survey.spacing_m
    figure = canvas(11.5, 5.6, title)
    blue, ordered = np.array(to_rgb(colours(1)[0])), sorted(bounds.items(), reverse=True)
    shades = [tuple(1 - share * (1 - blue)) for share in np.linspace(0.2, 0.5, len(ordered))]
    columns = [round(share * (survey.nx - 1)) for share in (0.25, 0.5, 0.75)]
    axes = figure.subplots(1, len(columns), sharex=True, sharey=True)
    for ax, column in zip(axes, columns, strict=True):
        plain(ax, f"x = {column * survey.spacing_m:.0f} m", "velocity (km/s)", "")
        for (level, (low, high)), shade in zip(ordered, shades, strict=True):
            edges = np.asarray(low)[column], np.asarray(high)[column]
            ax.fill_betweenx(depth_m, *edges, color=shade, linewidth=0, label=f"{100 * level:g} %")
        ax.plot(np.asarray(prediction)[column], depth_m, color=PREDICTION_INK, linewidth=1.1, label="prediction")
        if truth is not None:
            ax.plot(np.asarray(truth)[column], depth_m, color=TRUTH_INK, linewidth=0.9, label="truth")
    axes[0].set_ylabel("depth (m)", fontsize=9.5)
    axes[0].set_ylim(depth_m[-1], 0)
    axes[0].legend(fontsize=8.5, loc="lower left", framealpha=0.9)
    return figure
