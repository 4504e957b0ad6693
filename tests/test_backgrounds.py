"""Responses of the background are found in the package, kept in the cache, made anew where damaged."""

import dataclasses

import numpy as np
import pytest

from jax_inversion import backgrounds, physics
from jax_inversion.caches import cache_folder
from jax_inversion.errors import UserError
from jax_inversion.physics import SimulatorConfig
from jax_inversion.survey import CHALLENGE

SMALL = dataclasses.replace(CHALLENGE, nx=40, nz=40, source_x_m=(5.0,), receiver_x_m=(0.0, 20.0), nt=101)


@pytest.fixture
def computed(monkeypatch, tmp_path) -> list:
    """Every run asked for; none is made."""
    runs = []
    backgrounds.background.cache_clear()

    def instead(survey, *run):
        runs.append(run)
        return np.full((318, survey.shots, survey.receivers), 1e-3, np.float32)

    monkeypatch.setenv("JAX_INVERSION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(physics, "background_spectra", instead)
    monkeypatch.setattr(physics, "gathers_of", lambda spectra, survey, reference: spectra)
    return runs


def test_the_challenges_comes_with_the_package(monkeypatch):
    monkeypatch.setattr(physics, "background_spectra", None)  # never reached
    full = backgrounds.background(CHALLENGE, SimulatorConfig())
    assert full.shape == CHALLENGE.gathers_shape and full.dtype == np.float32
    thin = backgrounds.background(CHALLENGE.with_interval(4e-3), SimulatorConfig())
    np.testing.assert_allclose(thin, full[:, ::40], atol=1e-6)
    assert 0.2 < full.max() < 0.25 and np.abs(full[:, :100]).max() < 3e-4
    assert backgrounds.SHIPPED.stat().st_size < 300_000


def test_others_are_computed_once_and_anew_where_damaged(computed, caplog):
    first = backgrounds.background(SMALL, SimulatorConfig())
    again = backgrounds.background(SMALL, SimulatorConfig())
    assert len(computed) == 1 and np.array_equal(first, again)
    (kept,) = cache_folder().iterdir()
    whole = bytearray(kept.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    kept.write_bytes(whole)
    backgrounds.background.cache_clear()
    backgrounds.background(SMALL, SimulatorConfig())
    assert len(computed) == 2 and "damaged, computed anew" in caplog.text
    backgrounds.background(SMALL, SimulatorConfig(background_km_s=1.6))
    backgrounds.background(SMALL, SimulatorConfig(reference_spacing_m=2.0))
    assert len(computed) == 4 and len(list(cache_folder().iterdir())) == 3


def test_a_folder_that_cannot_be_written_is_said_and_no_more(computed, caplog):
    cache_folder().write_text("a file")
    assert backgrounds.background(SMALL, SimulatorConfig()) is not None
    assert "not kept" in caplog.text


def test_settings_without_a_background(computed):
    for settings in (dict(exact=True), dict(boundary="cpml"), dict(background_km_s="none")):
        assert backgrounds.options(SMALL, SimulatorConfig(**settings))["background"] is None
    assert not computed
    assert set(backgrounds.options(SMALL, SimulatorConfig())) == {*SimulatorConfig().options, "background"}


def test_a_run_of_hours_is_refused(computed):
    large = dataclasses.replace(SMALL, nx=100_000, nz=4_000, nt=40_001)
    with pytest.raises(UserError, match=r"hours on a CPU; set simulator\.background_km_s to 'none'"):
        backgrounds.background(large, SimulatorConfig())
