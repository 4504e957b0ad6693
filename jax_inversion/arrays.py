"""Shapes that the whole project shares, as jaxtyping aliases, and what a user may give as such an array.

Gathers are (shot, time, receiver); velocity models are (x, depth) in km/s. Leading axes are batch axes.
"""

from typing import Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .errors import UserError

# Of products whose digits count: a GPU's default rounds the factors of float32 products to three digits (TF32).
EXACT = jax.lax.Precision.HIGHEST

Gathers: TypeAlias = Float[Array, "*batch shot time receiver"] | Float[np.ndarray, "*batch shot time receiver"]
Velocity: TypeAlias = Float[Array, "*batch x depth"] | Float[np.ndarray, "*batch x depth"]
# NumPy in, NumPy out; JAX in, JAX out
AnyGathers = TypeVar(
    "AnyGathers", Float[Array, "*batch shot time receiver"], Float[np.ndarray, "*batch shot time receiver"]
)
AnyVelocity = TypeVar("AnyVelocity", Float[Array, "*batch x depth"], Float[np.ndarray, "*batch x depth"])


def are_numbers(dtype: Any) -> bool:
    """Whether arrays of ``dtype`` hold real numbers, to compute with."""
    return any(jnp.issubdtype(dtype, kind) for kind in (jnp.floating, jnp.integer))


def numbers(what: str, given: Any) -> np.ndarray:
    """``given`` as a NumPy array. ``UserError`` names ``what`` where it is ragged or holds no real numbers."""
    try:
        array = np.asarray(given)
    except (TypeError, ValueError):
        raise UserError(f"{what}: not an array but a {type(given).__name__} that cannot be made one") from None
    if not are_numbers(array.dtype):
        raise UserError(f"{what}: {type(given).__name__} of {array.dtype}; right is an array of real numbers")
    return array
