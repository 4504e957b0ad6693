"""Shapes that the whole project shares, as jaxtyping aliases.

Gathers are (shot, time, receiver); velocity models are (x, depth) in km/s. Leading axes are batch axes.
"""

from typing import TypeAlias, TypeVar

import jax
import numpy as np
from jaxtyping import Array, Float

# Of products whose digits count: a GPU's default rounds the factors of float32 products to three digits (TF32).
EXACT = jax.lax.Precision.HIGHEST

Gathers: TypeAlias = Float[Array, "*batch shot time receiver"] | Float[np.ndarray, "*batch shot time receiver"]
Velocity: TypeAlias = Float[Array, "*batch x depth"] | Float[np.ndarray, "*batch x depth"]
# NumPy in, NumPy out; JAX in, JAX out
AnyGathers = TypeVar(
    "AnyGathers", Float[Array, "*batch shot time receiver"], Float[np.ndarray, "*batch shot time receiver"]
)
AnyVelocity = TypeVar("AnyVelocity", Float[Array, "*batch x depth"], Float[np.ndarray, "*batch x depth"])
