"""Random velocity models: pure, jittable functions of a random key and a survey."""

from functools import partial

import jax

from ..arrays import Velocity
from ..errors import UserError
from ..survey import Survey
from .blend import blend
from .mixture import preset_of, shares
from .presets import PRESETS

__all__ = ["PRESETS", "blend", "draw", "preset_of", "shares"]


@partial(jax.jit, static_argnames=("survey", "preset"))
def draw(key: jax.Array, survey: Survey, preset: str = "marine") -> Velocity:
    """One random model (nx, nz) in km/s, float32, within the survey's range of velocity.

    Raises:
        UserError: no such preset.
    """
    if preset not in PRESETS:
        raise UserError(f"geology {preset!r} is unknown; there are {', '.join(PRESETS)}")
    return PRESETS[preset](key, survey)
