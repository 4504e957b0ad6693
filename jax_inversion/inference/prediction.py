"""What a prediction is: velocity, what it may be off by, and the survey that says where its cells lie."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from ..errors import UserError
from ..survey import Survey

if TYPE_CHECKING:
    import xarray

Models = Float[np.ndarray, "*sample x depth"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """Velocity models (x, depth) in km/s of one sample, or (sample, x, depth) of several.

    ``spread_km_s`` is the members' standard deviation, or refinement's; ``members`` have an axis more, the first.
    ``low`` and ``high`` are the models between which the share ``level`` of the cells is to lie, where intervals were
    asked for.
    """

    velocity_km_s: Models
    spread_km_s: Models
    survey: Survey
    members: Float[np.ndarray, "member *sample x depth"] | None = None
    low: Models | None = None
    high: Models | None = None
    level: float | None = None

    def __repr__(self) -> str:
        shape, (low, high) = self.velocity_km_s.shape, (self.velocity_km_s.min(), self.velocity_km_s.max())
        return f"Prediction({shape} (x, depth), {low:.3f} to {high:.3f} km/s, spread {self.spread_km_s.mean():.3f})"

    def to_xarray(self) -> "xarray.Dataset":
        """A dataset with coordinates x and depth in metres and units (CF names); needs the extra ``xarray``."""
        try:
            import xarray
        except ImportError:
            raise UserError('to_xarray needs xarray: pip install "jax-inversion[xarray]"') from None
        leading = ("sample",) * (self.velocity_km_s.ndim - 2)
        dims: dict[str, tuple[str, ...]] = dict.fromkeys(
            ("velocity", "spread", "low", "high"), (*leading, "x", "depth")
        )
        dims["members"] = ("member", *dims["velocity"])
        values: dict[str, Any] = {
            "velocity": self.velocity_km_s,
            "spread": self.spread_km_s,
            "low": self.low,
            "high": self.high,
            "members": self.members,
        }
        cells = {"x": self.survey.nx, "depth": self.survey.nz}
        places = {name: (name, np.arange(n) * self.survey.spacing_m, {"units": "m"}) for name, n in cells.items()}
        fields = {name: (dims[name], array, {"units": "km/s"}) for name, array in values.items() if array is not None}
        about = {} if self.level is None else {"level": self.level}
        return xarray.Dataset(fields, places, about)
