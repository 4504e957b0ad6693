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

    spacing_m: Positive = 5.0  # side of the simulator's cells
    order: int = 8  # in space: 2, 4 or 8
    boundary: Literal["damping", "cpml"] = "damping"  # the reference's layer, or one that absorbs better
    free_surface: bool = False  # depth 0 reflects as the surface of the sea does
    exact: bool = False  # the equation itself; else the reference run with its numerical dispersion
    reference_spacing_m: Positive = CHALLENGE_RUN.spacing_m  # cells of the run to look like
    reference_dt_s: Positive = CHALLENGE_RUN.dt_s  # its time step
    reference_drift_s2: float = CHALLENGE_RUN.drift_s2  # what its float32 adds to the equation in water, 1/s^2
    layer_m: Positive = CHALLENGE_RUN.layer_m  # of the reference's damping layer
    # Velocity of the homogeneous medium whose response is the reference run's own: of water in marine surveys.
    background_km_s: Positive | Literal["slowest", "none"] = "slowest"

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
