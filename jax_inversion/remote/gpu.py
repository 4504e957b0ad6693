"""The card of the machine that a stage runs on."""

import os

import jax

from ..errors import UserError


def need_gpu() -> None:
    """``UserError`` where JAX sees no GPU, unless SPEED_ALLOW_CPU is set; says what several GPUs are used for."""
    backend = jax.default_backend()
    if backend != "gpu" and not os.environ.get("SPEED_ALLOW_CPU"):
        raise UserError(f"JAX runs on {backend}, not on a GPU; SPEED_ALLOW_CPU=1 lets it, very slowly")
    if jax.device_count() > 1:
        print(f"note: {jax.device_count()} GPUs here; training spreads over them, all else uses one")
