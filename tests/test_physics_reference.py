"""Against Devito's 1 m data: the full samples where they lie beside the checkout, decimated ones always."""

from pathlib import Path

import numpy as np
import pytest
from physics_tiny import relative

from jax_inversion.data.folders import MODEL_FILE, gather_files
from jax_inversion.physics import simulate
from jax_inversion.survey import CHALLENGE

DATA = Path(__file__).parent / "data"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ref00100", "ref00103"])
def test_small_samples(name):
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as file:
        velocity = np.cumsum(file["velocity_steps"], axis=0, dtype=np.uint16) * np.float32(1e-4)
        gathers, survey = file["gathers"], CHALLENGE.with_interval(float(file["dt_s"]))
    # Every 40th row was taken: the interval that made the data is still the challenge's.
    got = simulate(velocity, CHALLENGE)[:, ::40]
    assert got.shape == gathers.shape == survey.gathers_shape
    assert relative(got, gathers) < 0.01


@pytest.mark.slow
def test_full_sample(reference):
    folder = sorted(p for p in reference.iterdir() if p.is_dir())[0]
    velocity = np.load(folder / MODEL_FILE, allow_pickle=False).astype(np.float32)
    gathers = np.stack([np.load(folder / f, allow_pickle=False) for f in gather_files(CHALLENGE)])
    got = np.asarray(simulate(velocity, CHALLENGE))
    late = slice(3500, None)
    assert relative(got, gathers) < 0.005
    assert relative(got[:, late], gathers[:, late]) < 0.04
