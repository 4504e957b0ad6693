"""How to simulate, as a section of a configuration."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from ..errors import UserError
from ..survey import CHALLENGE_RUN, Reference
from .stencil import ORDERS

Positive = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class SimulatorConfig:
    """Settings of the simulator; ``simulate(velocity, survey, **settings.options)`` follows them."""

    spacing_m: Positive = 5.0
    order: int = 8  # in space: 2, 4 or 8
    boundary: Literal["damping", "cpml"] = "damping"
    free_surface: bool = False
    exact: bool = False  # the equation itself; else the reference run with its numerical dispersion
    reference_spacing_m: Positive = CHALLENGE_RUN.spacing_m
    reference_dt_s: Positive = CHALLENGE_RUN.dt_s
    layer_m: Positive = CHALLENGE_RUN.layer_m  # of the reference's damping layer

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise UserError(f"simulator.order is {self.order}; it must be one of {', '.join(map(str, ORDERS))}")
        _ = self.reference  # which checks its own numbers

    @property
    def reference(self) -> Reference | None:
        """The run to look like."""
        return None if self.exact else Reference(self.reference_spacing_m, self.reference_dt_s, self.layer_m)

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of ``simulate``."""
        plain = {name: getattr(self, name) for name in ("spacing_m", "order", "boundary", "free_surface")}
        return plain | {"reference": self.reference}
