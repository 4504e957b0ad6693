"""Gain, sign and delay are recovered, from known signals and through the front door."""

import json

import numpy as np
import pytest

from jax_inversion import calibrate as door
from jax_inversion import config, physics
from jax_inversion.calibrate import calibrate
from jax_inversion.data.folders import write_sample
from jax_inversion.errors import UserError
from jax_inversion.physics.settings import SimulatorConfig
from jax_inversion.simulation.matching import Match, Simulated, fit, residuals
from jax_inversion.survey import Survey

TINY = Survey(
    nx=23, nz=30, spacing_m=5.0, nt=1601, dt_s=2.5e-4, source_x_m=(0.0, 110.0), source_z_m=20.0,
    receiver_x_m=(0.0, 50.0, 110.0), receiver_z_m=10.0,
)  # fmt: skip
PLAIN = SimulatorConfig(background_km_s="none")  # the reference's own run takes longer than all of these tests


def wavelets(t_s: np.ndarray) -> np.ndarray:
    """(2 shots, time, 3 receivers): three 15 Hz Ricker wavelets a trace, the last one cut by the record's end."""
    at_s = np.random.default_rng(1).uniform(0.1, 0.4, (3, 2, 1, 3))
    at_s[-1] = 0.49
    r = np.pi * 15 * (t_s[:, None] - at_s)
    return ((1 - 2 * r**2) * np.exp(-(r**2))).sum(0)


@pytest.mark.parametrize(("gain", "delay_s"), [(-2.5, 3e-4), (0.01, -7.3e-4), (1.0, 0.0), (-1.0, 0.0213), (3.0, -0.05)])
def test_fit_recovers_gain_and_delay(gain: float, delay_s: float) -> None:
    t_s = np.arange(501) * 1e-3
    match = fit(gain * wavelets(t_s - delay_s), Simulated(wavelets(t_s), 1e-3))
    assert match.gain == pytest.approx(gain, rel=1e-5)
    assert match.delay_s == pytest.approx(delay_s, abs=1e-8)


def test_delayed_is_zero_before_the_record_and_unknown_after_it() -> None:
    simulated = Simulated(wavelets(np.arange(101) * 1e-3), 1e-3)
    later, earlier = simulated.delayed(2.5e-3), simulated.delayed(-2.5e-3)
    assert (later[:, :3] == 0).all() and np.isfinite(later).all()
    assert np.isnan(earlier[:, -3:]).all() and np.isfinite(earlier[:, :-3]).all()


def test_residuals_by_hand() -> None:
    recorded = np.array([[[3.0], [4.0]], [[1.0], [2.0]]])
    expected = np.array([[[3.0], [3.0]], [[0.0], [np.nan]]])
    shots, whole = residuals(recorded, expected)
    assert shots == pytest.approx([1 / 5, 1.0])
    assert whole == pytest.approx(np.sqrt((1 + 1) / (25 + 1)))
    late, _ = residuals(recorded[:1], expected[:1], from_row=1)
    assert late == pytest.approx([1 / 4])


@pytest.fixture(scope="module")
def gathers() -> tuple[np.ndarray, np.ndarray]:
    velocity = np.full(TINY.model_shape, 1.5, np.float32)
    velocity[:, 16:] = 2.5
    return np.asarray(physics.simulate(velocity, TINY)), velocity


def test_scaled_reversed_and_late_data(gathers: tuple[np.ndarray, np.ndarray], tmp_path, capsys) -> None:
    simulated, velocity = gathers
    shifted = Simulated(simulated, TINY.dt_s).matched(Match(-2.5, 3e-4))  # 1.2 samples late
    for name in ("a", "b"):
        write_sample(tmp_path / "data", name, TINY, shifted, velocity)
    preset = tmp_path / "tiny.toml"
    config.save(config.Config(survey=TINY, simulator=PLAIN), preset)
    report = tmp_path / "report.json"
    options = ["--data", tmp_path / "data", "--survey", preset, "--count", "1", "--json", report]
    assert door.main([str(option) for option in options]) == 0
    found = json.loads(report.read_text())
    assert [one["id"] for one in found["samples"]] == ["a"]
    assert found["gain"] == pytest.approx(-2.5, rel=1e-4) and found["sign"] == -1
    assert found["delay_ms"] == pytest.approx(0.3, abs=1e-4)
    assert found["residual"] > 1 and found["matched"] < 1e-4 and len(found["samples"][0]["shots"]["matched"]) == 2
    assert "the sign is reversed" in found["judgement"] and "matches" in found["judgement"]
    assert "shot 2" in capsys.readouterr().out


def test_data_of_another_kind_are_told_from_the_simulators(gathers: tuple[np.ndarray, np.ndarray], tmp_path) -> None:
    simulated, velocity = gathers
    noise = np.random.default_rng(0).normal(0, simulated.std(), simulated.shape)
    write_sample(tmp_path, "noisy", TINY, simulated + noise, velocity)
    found = calibrate(tmp_path, survey=TINY, simulator=PLAIN)
    assert found["matched"] == pytest.approx(np.sqrt(0.5), rel=0.05)
    assert "does not match" in found["judgement"]


def test_errors(gathers: tuple[np.ndarray, np.ndarray], tmp_path) -> None:
    simulated, velocity = gathers
    with pytest.raises(UserError, match="count"):
        calibrate(tmp_path, 0, TINY)
    write_sample(tmp_path / "models-missing", "a", TINY, simulated, None)
    with pytest.raises(UserError, match=r"no sample with vp_model\.npy"):
        calibrate(tmp_path / "models-missing", survey=TINY, simulator=PLAIN)
    silent = np.array(simulated)
    silent[0] = 0
    write_sample(tmp_path / "silent", "a", TINY, silent, velocity)
    with pytest.raises(UserError, match="zero throughout"):
        calibrate(tmp_path / "silent", survey=TINY, simulator=PLAIN)


@pytest.mark.slow
def test_the_simulator_matches_the_reference(reference) -> None:
    found = calibrate(reference, 1)
    assert found["residual"] < 1e-3 and found["late"] < 0.015  # at 0.1 ms; decimated: test_physics_reference.py
    assert found["gain"] == pytest.approx(1, abs=0.005) and abs(found["delay_ms"]) < 0.05
    assert found["judgement"].startswith("the simulator matches these data")
