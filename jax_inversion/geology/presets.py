"""The kinds of section that can be drawn, by name."""

from collections.abc import Callable

import jax

from ..arrays import Velocity
from ..survey import Survey
from .basin import basin
from .drifting import drifting
from .land import faulted, folded, layered
from .marine import marine, varied
from .salt import salt

PRESETS: dict[str, Callable[[jax.Array, Survey], Velocity]] = {
    "marine": marine,
    "varied": varied,
    "basin": basin,
    "drifting": drifting,
    "layered": layered,
    "folded": folded,
    "faulted": faulted,
    "salt": salt,
}
