"""A survey and a model small enough to simulate in a blink, for the tests of physics."""

import numpy as np

from jax_inversion.survey import Survey

CELL_M = 20.0
# Its own mirror image: sources and receivers lie symmetrically about 230 m.
TINY = Survey(
    nx=24,
    nz=30,
    spacing_m=CELL_M,
    nt=176,
    dt_s=4e-3,
    source_x_m=(100.0, 360.0),
    source_z_m=60.0,
    receiver_x_m=(0.0, 115.0, 230.0, 345.0, 460.0),
    receiver_z_m=40.0,
    peak_hz=5.0,
)


def model(seed: int = 0, dtype: type = np.float32) -> np.ndarray:
    """Velocity in km/s that grows with depth, with smooth bumps: (24, 30)."""
    rng = np.random.default_rng(seed)
    x, z = np.meshgrid(np.arange(24) / 24, np.arange(30) / 30, indexing="ij")
    bumps = sum(
        rng.normal() * np.cos(np.pi * i * x + rng.normal()) * np.cos(np.pi * j * z + rng.normal())
        for i in (1, 2, 3)
        for j in (1, 2, 3)
    )
    return np.clip(1.7 + 1.5 * z + 0.2 * bumps, 1.5, 4.4).astype(dtype)


def relative(a, b) -> float:
    """Relative L2 difference."""
    return float(np.linalg.norm(np.asarray(a) - np.asarray(b)) / np.linalg.norm(np.asarray(b)))
