"""Figures of shot gathers: grey variable density, time down, clipped symmetrically."""

from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import uniform_filter1d

from ..arrays import Gathers
from ..survey import Survey
from .canvas import INK, canvas

Gain = Literal["none", "power", "agc"]


def display_gain(gathers: Gathers, dt_s: float, gain: Gain, power: float = 2.0, window_s: float = 0.15) -> np.ndarray:
    """Gathers (shot, time, receiver) made fit to look at: the direct wave would hide the reflections otherwise.

    ``power``: amplitude times t ** power. ``agc``: divided by its running root mean square over ``window_s``.
    """
    data = np.asarray(gathers, np.float64)
    if gain == "power":
        return data * (np.arange(data.shape[-2]) * dt_s)[:, None] ** power
    if gain == "agc":
        window = max(1, round(window_s / dt_s))
        energy = np.maximum(uniform_filter1d(data**2, window, axis=-2, mode="nearest"), 0)
        return data / np.sqrt(energy + 1e-6 * energy.max() + 1e-30)
    return data


def gather_panel(
    gathers: Gathers, survey: Survey, *, title: str = "", gain: Gain = "power", percentile: float = 98.0
) -> Figure:
    """All shots of a sample side by side: time down, receiver position across, a star at the source's position.

    Shots share one clip, the ``percentile`` of the absolute amplitudes.
    """
    shown = display_gain(gathers, survey.dt_s, gain)
    limit = float(np.percentile(np.abs(shown), percentile)) or 1.0
    figure = canvas(max(5.0, 1.9 * survey.shots + 1.1), 5.2, title)
    axes = figure.subplots(1, survey.shots, sharey=True, squeeze=False)[0]
    first, last = survey.receiver_x_m[0], survey.receiver_x_m[-1]
    half = (last - first) / max(survey.receivers - 1, 1) / 2 or survey.spacing_m / 2
    extent = (first - half, last + half, survey.duration_s + survey.dt_s / 2, -survey.dt_s / 2)
    for ax, gather, x_m in zip(axes, shown, survey.source_x_m, strict=True):
        ax.imshow(
            gather, extent=extent, aspect="auto", cmap="gray_r", vmin=-limit, vmax=limit, interpolation="bilinear"
        )
        ax.plot([x_m], [0.0], marker="*", markersize=10, color="#d1495b", clip_on=False, zorder=5)
        ax.set_xlim(extent[0], extent[1])
        ax.set_title(f"source at {x_m:.0f} m", fontsize=9.5, color=INK, pad=9)
        ax.set_xlabel("receiver x (m)", fontsize=9)
        ax.tick_params(labelsize=8)
    axes[0].set_ylabel("time (s)", fontsize=9)
    return figure
