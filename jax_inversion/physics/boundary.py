"""The absorbing layer that made the challenge's data."""

import numpy as np
from jaxtyping import Float

from .grid import Grid


def damping(grid: Grid, width_m: float, cell_m: float) -> Float[np.ndarray, "X Z"]:
    """Damping coefficient in 1/m of the term damp u_t, in every cell; zero in the section.

    Devito's profile for a layer of ``width_m``: 1.5 ln(1000) / width (p - sin(2 pi p) / (2 pi)), with p the depth into
    the layer over its width (counted from one and a half cells of ``cell_m`` inside the section's edge: on its cells of
    1 m Devito gives the first cell of the layer the depth 2). Sides add up in the corners. It reflects low frequencies;
    those reflections are part of the challenge's data.
    """
    x, z = (_profile(grid, axis, width_m, cell_m) for axis in (0, 1))
    return x[:, None] + z[None, :]


def _profile(grid: Grid, axis: int, width_m: float, cell_m: float) -> np.ndarray:
    fine = 5
    # Averages over each cell: the profile is sampled at the centres of the cell's fifths, metre by metre for 5 m cells.
    part = ((np.arange(fine) + 0.5) / fine - 0.5) * grid.spacing_m
    where_m = grid.centres_m(axis)[:, None] + part[None, :]
    low_m, high_m = grid.section_m(axis)
    before_m = -np.inf if axis == 1 and grid.free_surface else low_m - where_m
    into_m = np.maximum(before_m, where_m - high_m)
    p = np.where(into_m > 0, (into_m + 1.5 * cell_m) / width_m, 0)
    return (1.5 * np.log(1000) / width_m * (p - np.sin(2 * np.pi * p) / (2 * np.pi))).mean(1)
