"""What networks correct: a base model and, for those that look at them, the gathers that go with it."""

from typing import Any, NamedTuple

from .resampling import resize
from .survey import mirror_gathers, mirror_velocity


class Start(NamedTuple):
    """``velocity`` (*batch, x, depth) km/s; ``gathers`` (*batch, shot, time, receiver), simulated for it, without the
    background's response. In a network's input ``gathers`` is what these leave of the observed ones, as it sees those.
    """

    velocity: Any  # JAX's or NumPy's
    gathers: Any = None

    def mirrored(self) -> "Start":
        """The start of the mirror image."""
        return Start(mirror_velocity(self.velocity), None if self.gathers is None else mirror_gathers(self.gathers))

    def on(self, shape: tuple[int, int]) -> "Start":
        """The model on cells of this (x, depth)."""
        return self._replace(velocity=resize(self.velocity, shape))
