"""How to simulate, as a section of a configuration."""

from dataclasses import dataclass
from typing import Any, Literal

from ..errors import UserError
from ..ranges import Positive
from ..survey import CHALLENGE_RUN, Reference
from .stencil import ORDERS


@dataclass(frozen=True)
class SimulatorConfig:
    """Settings of the simulator; ``simulate(velocity, survey, **settings.options)`` follows them.

    (The background's response comes beside them: ``jax_inversion.backgrounds``.)
    """

    spacing_m: Positive = 5.0
    order: int = 8  # in space: 2, 4 or 8
    boundary: Literal["damping", "cpml"] = "damping"
    free_surface: bool = False
    exact: bool = False  # the equation itself; else the reference run with its numerical dispersion
    reference_spacing_m: Positive = CHALLENGE_RUN.spacing_m
    reference_dt_s: Positive = CHALLENGE_RUN.dt_s
    reference_drift_s2: float = CHALLENGE_RUN.drift_s2
    layer_m: Positive = CHALLENGE_RUN.layer_m  # of the reference's damping layer
    # Of the homogeneous medium whose response is taken from the reference run itself: water for marine surveys.
    background_km_s: Positive | Literal["slowest", "none"] = "slowest"  # of the survey

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise UserError(f"simulator.order is {self.order}; it must be one of {', '.join(map(str, ORDERS))}")
        _ = self.reference  # which checks its own numbers

    @property
    def reference(self) -> Reference | None:
        """The run to look like."""
        if self.exact:
            return None
        return Reference(self.reference_spacing_m, self.reference_dt_s, self.layer_m, self.reference_drift_s2)

    @property
    def has_background(self) -> bool:
        """Whether there is a reference run whose background is to be used."""
        return self.background_km_s != "none" and not self.exact and self.boundary == "damping"

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of ``simulate``."""
        plain = {name: getattr(self, name) for name in ("spacing_m", "order", "boundary", "free_surface")}
        km_s = None if isinstance(self.background_km_s, str) else self.background_km_s
        return plain | {"reference": self.reference, "background_km_s": km_s}
