"""The computational grid: the survey's section brought to a spacing, surrounded by an absorbing margin.

Everything here is geometry, done once in numpy; each piece is a small dense matrix, one an axis.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from ..errors import UserError
from ..survey import Survey

HALF_WIDTH, KAISER_B = 4, 6.31  # Hicks (2002), table 1: half-width 4, monopole, good to half the Nyquist wavenumber


@dataclass(frozen=True)
class Grid:
    """Cells of ``spacing_m`` that cover the section, and ``margin`` more on every side (none above a free surface)."""

    survey: Survey
    spacing_m: float
    margin: int
    free_surface: bool = False
    model_m: float = math.inf  # models are read at points this far apart, or as far as the grid's cells if closer

    @property
    def top(self) -> int:
        """Cells above the section."""
        return 0 if self.free_surface else self.margin

    @property
    def inner_shape(self) -> tuple[int, int]:
        """Cells of the section itself, (x, depth)."""
        s = self.survey
        # Thick or thin, the last cell exists when any of the section lies in it.
        return tuple(math.ceil(n * s.spacing_m / self.spacing_m - 1e-9) for n in s.model_shape)

    @property
    def shape(self) -> tuple[int, int]:
        nx, nz = self.inner_shape
        return nx + 2 * self.margin, nz + self.top + self.margin

    def section_m(self, axis: int) -> tuple[float, float]:
        """Where the section begins and ends along x (0) or depth (1): the outer walls of its first and last cell."""
        half = self.survey.spacing_m / 2
        return -half, (self.survey.model_shape[axis] - 1) * self.survey.spacing_m + half

    def centres_m(self, axis: int) -> np.ndarray:
        """Cell centres along x (0) or depth (1) in the survey's coordinates.

        Without a free surface the cells tile the section from its edge, half a survey cell outside the first sample;
        with one, the first row lies on depth 0, where the pressure is zero.
        """
        if axis == 1 and self.free_surface:
            first_m = 0.0
        else:
            first_m = (self.spacing_m - self.survey.spacing_m) / 2 - (self.margin, self.top)[axis] * self.spacing_m
        return first_m + np.arange(self.shape[axis]) * self.spacing_m

    @cached_property
    def resampling(self) -> tuple[np.ndarray, np.ndarray]:
        """Matrices (X, x) and (Z, depth) that bring the model to the grid, its edges replicated outwards.

        Waves of up to half the Nyquist wavenumber see the model's wavenumbers up to the Nyquist's: those the windowed
        sinc keeps, and those beyond, which would be mistaken for them, it removes. (Averages over the cells do neither:
        they take 1 % off reflections at the challenge's 15 Hz and 5 % at 30 Hz on 5 m cells.)
        """
        step_m = min(self.model_m, self.spacing_m)
        s = self.survey
        return tuple(
            _resampling(s.model_shape[axis], s.spacing_m, self.centres_m(axis), self.spacing_m, step_m)
            for axis in (0, 1)
        )

    def sinc(self, axis: int, where_m: tuple[float, ...]) -> Float[np.ndarray, "point cell"]:
        """Kaiser-windowed sinc weights of the points ``where_m`` along an axis: Hicks (2002), doi:10.1190/1.1451454."""
        centres_m = self.centres_m(axis)
        if not (axis == 1 and self.free_surface):
            return kernel(where_m, centres_m, self.spacing_m)
        weights = kernel(where_m, centres_m, self.spacing_m)
        image = kernel(where_m, -centres_m, self.spacing_m)  # the kernel's part above the surface, sign reversed
        return weights - image

    def check_inside(self) -> None:
        """``UserError`` for a source or receiver more than a survey cell outside the section: in the absorbing layer.

        (The challenge's last receiver is half a metre outside.)
        """
        s = self.survey
        for what, axis, values in (
            ("source_x_m", 0, s.source_x_m),
            ("source_z_m", 1, (s.source_z_m,)),
            ("receiver_x_m", 0, s.receiver_x_m),
            ("receiver_z_m", 1, (s.receiver_z_m,)),
        ):
            low, high = self.section_m(axis)
            for value in values:
                if not low - s.spacing_m <= value <= high + s.spacing_m:
                    spans = f"the section spans {low:g} to {high:g} m"
                    raise UserError(f"survey.{what} = {value:g} m lies in the absorbing layer; {spans}")
                if axis == 1 and self.free_surface and value <= 0:
                    raise UserError(f"survey.{what} = {value:g} m is not below the free surface at depth 0")


def kernel(where_m: tuple[float, ...], centres_m: np.ndarray, spacing_m: float) -> Float[np.ndarray, "point cell"]:
    """Weights of the points on an endless line of cells."""
    offset = (np.asarray(where_m, float)[:, None] - centres_m[None, :]) / spacing_m
    window = np.i0(KAISER_B * np.sqrt(np.maximum(1 - (offset / HALF_WIDTH) ** 2, 0))) / np.i0(KAISER_B)
    return np.where(np.abs(offset) < HALF_WIDTH, np.sinc(offset) * window, 0)


def _resampling(cells: int, cell_m: float, centres_m: np.ndarray, spacing_m: float, step_m: float) -> np.ndarray:
    """Weights (centre, cell) of a model of constant cells read every ``step_m``; outside is as the edge's cell."""
    parts = math.ceil(cell_m / step_m - 1e-9)
    beyond_m = max(-centres_m[0], centres_m[-1] - (cells - 1) * cell_m) + HALF_WIDTH * spacing_m
    beyond = math.ceil(beyond_m / cell_m) + 1
    part = np.arange(-beyond * parts, (cells + beyond) * parts)
    weights = kernel(tuple(centres_m), ((part + 0.5) / parts - 0.5) * cell_m, spacing_m)
    weights /= weights.sum(1, keepdims=True)
    summed = np.zeros((cells, len(centres_m)))
    np.add.at(summed, np.clip(part // parts, 0, cells - 1), weights.T)
    return summed.T
