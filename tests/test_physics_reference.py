"""The run that the gathers look like: Devito's 1 m data, and the same from models on other cells.

Devito's samples are decimated here; a full one is tried by test_calibrate.py where those lie beside the checkout.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from physics_tiny import relative

from jax_inversion import backgrounds
from jax_inversion.errors import UserError
from jax_inversion.physics import SimulatorConfig, simulate
from jax_inversion.survey import CHALLENGE, CHALLENGE_RUN

DATA = Path(__file__).parent / "data"


def test_the_same_model_on_other_cells_gives_the_same():
    fine = dataclasses.replace(
        CHALLENGE, nx=100, nz=100, nt=201, dt_s=1e-3, source_x_m=(12.0,), receiver_x_m=(0.0, 43.0, 100.0)
    )
    blocks = np.random.default_rng(0).uniform(1.5, 3.0, (20, 20)).astype(np.float32)
    # Position 0 is the centre of the first cell: that of a 5 m cell lies 2 m farther from the section's edge.
    coarse = dataclasses.replace(
        fine,
        nx=20,
        nz=20,
        spacing_m=5.0,
        source_x_m=(10.0,),
        receiver_x_m=(-2.0, 41.0, 98.0),
        source_z_m=fine.source_z_m - 2,
        receiver_z_m=fine.receiver_z_m - 2,
    )
    expected = simulate(np.kron(blocks, np.ones((5, 5), np.float32)), fine)
    assert relative(simulate(blocks, coarse), expected) < 1e-5


def test_settings_are_options_of_simulate():
    assert SimulatorConfig().options == {
        "spacing_m": 5.0,
        "order": 8,
        "boundary": "damping",
        "free_surface": False,
        "reference": CHALLENGE_RUN,
        "background_km_s": None,
    }
    assert SimulatorConfig(exact=True).options["reference"] is None
    assert SimulatorConfig(reference_spacing_m=2.0).reference == dataclasses.replace(CHALLENGE_RUN, spacing_m=2.0)
    with pytest.raises(UserError, match="order is 6; it must be one of 2, 4, 8"):
        SimulatorConfig(order=6)
    with pytest.raises(UserError, match=r"reference\.dt_s is 0\.0; it must be a positive number"):
        SimulatorConfig(reference_dt_s=0.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ref00100", "ref00103"])
def test_small_samples(name):
    with np.load(DATA / f"{name}.npz", allow_pickle=False) as file:
        velocity = np.cumsum(file["velocity_steps"], axis=0, dtype=np.uint16) * np.float32(1e-4)
        gathers, survey = file["gathers"], CHALLENGE.with_interval(float(file["dt_s"]))
    # Every 40th row of the challenge's.
    got = simulate(velocity, survey, **backgrounds.options(survey, SimulatorConfig()))
    assert got.shape == gathers.shape == survey.gathers_shape
    assert relative(got, gathers) < 1e-3
