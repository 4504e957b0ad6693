"""A survey of a handful of cells, and samples of random numbers, for the tests of other people's formats."""

import numpy as np

from jax_inversion.survey import Survey

SURVEY = Survey(
    nx=6, nz=8, spacing_m=10.0, nt=21, dt_s=1e-3, source_x_m=(0.0, 50.0), source_z_m=10.0,
    receiver_x_m=(0.0, 20.0, 30.0, 50.0), receiver_z_m=5.0,
)  # fmt: skip


def samples(count: int, survey: Survey = SURVEY, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Gathers (sample, shot, time, receiver) and models (sample, x, depth) in km/s, both float32."""
    rng = np.random.default_rng(seed)
    gathers = rng.standard_normal((count, *survey.gathers_shape)).astype(np.float32)
    return gathers, rng.uniform(1.5, 4.5, (count, *survey.model_shape)).astype(np.float32)
