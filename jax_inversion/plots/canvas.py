"""What all figures share: a canvas without global state, sections drawn to scale, files that appear whole."""

import io
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from ..arrays import Velocity
from ..files import write_aside
from ..survey import Survey

VELOCITY_MAP, DIFFERENCE_MAP, SPREAD_MAP = "turbo", "seismic", "magma"
SECTION_HEIGHT_IN = 5.0
INK, ACCENTS = "#222222", ("#1f5fa8", "#d1495b", "#3a7d44", "#8a5fb0", "#c47f17", "#4a4a4a")


def canvas(width_in: float, height_in: float, title: str = "") -> Figure:
    """An empty figure that belongs to no pyplot state, so that threads may draw side by side."""
    figure = Figure(figsize=(width_in, height_in), dpi=110, layout="constrained")
    if title:
        figure.suptitle(title, fontsize=12, color=INK)
    return figure


def save(figure: Figure, path: Path | str) -> Path:
    """Write a figure as PNG (or whatever the suffix says), whole or not at all."""
    path = Path(path)
    with write_aside(path) as aside:
        figure.savefig(aside)
    return path


def png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def section_width_in(survey: Survey) -> float:
    """Width of one section of ``SECTION_HEIGHT_IN``: to scale, but neither a thread nor a carpet."""
    return float(np.clip(SECTION_HEIGHT_IN * survey.nx / survey.nz, 1.45, 8.0))


def section(
    ax: Axes, field: Velocity, survey: Survey, title: str, *, colours: str, low: float, high: float
) -> AxesImage:
    """Draw (x, depth) with depth down and metres on the axes."""
    d = survey.spacing_m
    extent = (-d / 2, (survey.nx - 0.5) * d, (survey.nz - 0.5) * d, -d / 2)
    image = ax.imshow(
        np.asarray(field).T, extent=extent, aspect="auto", cmap=colours, vmin=low, vmax=high, interpolation="nearest"
    )
    ax.set_title(title, fontsize=9.5, color=INK)
    ax.set_xlabel("x (m)", fontsize=9)
    ax.set_xticks(_ends_and_middle((survey.nx - 1) * d))
    ax.tick_params(labelsize=8)
    return image


def colour_bar(figure: Figure, image: AxesImage, axes: Axes | list[Axes], label: str, extend: str = "neither") -> None:
    bar = figure.colorbar(image, ax=axes, label=label, extend=extend, aspect=35, pad=0.015)
    bar.ax.tick_params(labelsize=8)
    bar.set_label(label, fontsize=9)


def plain(ax: Axes, title: str, x_label: str, y_label: str) -> Axes:
    """Labels, a light grid, no box: for curves."""
    ax.set_title(title, fontsize=10.5, color=INK)
    ax.set_xlabel(x_label, fontsize=9.5)
    ax.set_ylabel(y_label, fontsize=9.5)
    ax.tick_params(which="both", labelsize=8.5)
    ax.grid(True, color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def colours(count: int) -> list[str]:
    """``count`` distinct colours for lines."""
    if count <= len(ACCENTS):
        return list(ACCENTS[:count])
    return [to_hex(c) for c in matplotlib.colormaps["viridis"](np.linspace(0, 0.9, count))]


def _ends_and_middle(span_m: float) -> list[float]:
    step = 10.0 ** np.floor(np.log10(span_m / 2))
    middle = max(1.0, np.floor(span_m / 2 / step)) * step
    return [0.0, middle, 2 * middle]
