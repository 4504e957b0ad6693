"""The gathers that a prediction would make, beside those observed."""

import numpy as np
from matplotlib.figure import Figure

from ..arrays import Gathers, Velocity
from ..survey import Survey
from .canvas import INK, VELOCITY_MAP, canvas, colour_bar, section, section_width_in
from .gathers import display_gain


def quality_panel(
    observed: Gathers, predicted: Gathers, background: Gathers, model: Velocity, survey: Survey, *, title: str = ""
) -> Figure:
    """Observed, predicted and difference of the shot in the middle without the background's response, and the model.

    ``survey`` is that of the gathers; all three have one scale, and amplitudes grow with time.
    """
    shot = survey.shots // 2
    nx, nz = model.shape
    of_model = survey.on_grid((nx, nz))
    width = section_width_in(of_model)
    figure = canvas(3 * 2.3 + width + 2.2, 5.2, title)
    axes = figure.subplots(1, 4, width_ratios=[2.3, 2.3, 2.3, width])
    mine, theirs = (np.asarray(gathers)[shot : shot + 1] - background[shot] for gathers in (observed, predicted))
    parts = [display_gain(part, survey.dt_s, "power", power=1.0)[0] for part in (mine, theirs, mine - theirs)]
    limit = float(np.percentile(np.abs(parts[0]), 98)) or 1.0
    extent = (survey.receiver_x_m[0], survey.receiver_x_m[-1], survey.duration_s, 0.0)
    for ax, part, name in zip(axes, parts, ("observed", "predicted", "difference"), strict=False):
        ax.imshow(part, extent=extent, aspect="auto", cmap="gray_r", vmin=-limit, vmax=limit, interpolation="bilinear")
        ax.set_title(f"{name}, source at {survey.source_x_m[shot]:.0f} m", fontsize=9.5, color=INK)
        ax.set_xlabel("receiver x (m)", fontsize=9)
        ax.tick_params(labelsize=8)
    axes[0].set_ylabel("time (s)", fontsize=9)
    bounds = {"low": survey.v_min_km_s, "high": survey.v_max_km_s}
    image = section(axes[3], model, of_model, "prediction", colours=VELOCITY_MAP, **bounds)
    colour_bar(figure, image, axes[3], "km/s")
    return figure
