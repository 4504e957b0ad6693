"""Random models: the marine preset against the published family, and what every preset promises."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from physics_tiny import CELL_M, TINY

from jax_inversion.errors import UserError
from jax_inversion.geology import PRESETS, blend, draw, faults, folds, marine, strata
from jax_inversion.physics import simulate
from jax_inversion.survey import CHALLENGE

COARSE = dataclasses.replace(CHALLENGE, nx=60, nz=252, spacing_m=5.0)
OTHER = dataclasses.replace(CHALLENGE, nx=90, nz=40, spacing_m=12.5, v_min_km_s=1.0, v_max_km_s=6.0)
KEYS = jax.random.split(jax.random.key(7), 128)


def mapped(function: Callable) -> Callable:
    """Over keys, compiled as one: operation by operation the same takes far longer."""
    return jax.jit(jax.vmap(function))


@pytest.fixture(scope="module")
def family() -> np.ndarray:
    """128 marine models of the challenge's extent on a 5 m grid."""
    return np.asarray(jax.lax.map(lambda key: draw(key, COARSE), KEYS))


def test_marine_statistics_are_near_the_published_ones(family: np.ndarray) -> None:
    # Published: mean 2.78, standard deviation 0.93, median 2.93, range 1.5 to 4.5 km/s.
    assert family.mean() == pytest.approx(2.72, abs=0.10)
    assert family.std() == pytest.approx(0.89, abs=0.06)
    assert np.median(family) == pytest.approx(2.76, abs=0.17)
    assert family.min() == 1.5 and 4.3 < family.max() <= 4.5


def test_marine_is_as_hard_to_guess_as_the_family(family: np.ndarray) -> None:
    # A constant depth profile scores 0.083 to 0.086 on models of the challenge's family (REFERENCE.md, section 3).
    profile = np.median(family[::2], axis=(0, 1))
    mape = np.mean(np.abs(family[1::2] - profile) / family[1::2])
    assert 0.070 < mape < 0.100


def test_marine_velocity_rises_with_depth(family: np.ndarray) -> None:
    profile = family.mean(axis=(0, 1))
    assert np.all(np.diff(profile[80::20]) > 0)
    assert profile[-1] > 3.7


def test_sea_floor_keeps_its_range_and_has_relief() -> None:
    floors = np.asarray(mapped(lambda key: marine.sea_floor(key, CHALLENGE)[0][:, 0])(KEYS))
    assert 69 < floors.min() < 130 and 340 < floors.max() < 391
    relief = np.ptp(floors, axis=1)
    assert 30 < np.median(relief) < 130 and relief.max() < 240


def test_water_ends_at_the_sea_floor(family: np.ndarray) -> None:
    wet = (family <= 1.5).astype(int)
    assert np.all(wet[:, :, : int(60 / 5)] == 1)
    assert np.all(family[:, :, int(700 / 5) :] > 1.5)


def test_the_cell_that_the_sea_floor_cuts_is_a_mean() -> None:
    survey = dataclasses.replace(CHALLENGE, nx=2, nz=4, spacing_m=10.0)
    # The floor at 12.5 m lies three quarters down the cell centred at 10 m: 5 to 15 m.
    wet = jax.jit(marine.under_water, static_argnums=2)(jnp.full((2, 4), 2.5), jnp.full((2, 1), 12.5), survey)
    np.testing.assert_allclose(wet, [[1.5, 1.75, 2.5, 2.5]] * 2, rtol=1e-6)


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_keep_shape_type_and_bounds_on_another_survey(preset: str) -> None:
    velocity = np.stack([np.asarray(draw(key, OTHER, preset)) for key in KEYS[:8]])
    assert velocity.shape == (8, 90, 40) and velocity.dtype == np.float32
    assert np.float32(1.0) <= velocity.min() and velocity.max() <= np.float32(6.0)
    assert np.all(velocity.std(axis=(1, 2)) > 0.3)
    # A key gives one model, and another key another.
    np.testing.assert_array_equal(velocity[0], draw(KEYS[0], OTHER, preset))
    assert np.abs(velocity[0] - velocity[1]).mean() > 0.02


def test_models_are_drawn_and_simulated_inside_a_compiled_step() -> None:
    @jax.jit
    @jax.vmap
    def step(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        velocity = draw(key, TINY, "faulted")
        return velocity, simulate(velocity, TINY, spacing_m=CELL_M, windows=False)

    velocity, gathers = step(KEYS[:2])
    assert velocity.shape == (2, *TINY.model_shape) and gathers.shape == (2, *TINY.gathers_shape)
    for k in range(2):
        alone = np.asarray(simulate(draw(KEYS[k], TINY, "faulted"), TINY, spacing_m=CELL_M, windows=False))
        np.testing.assert_allclose(gathers[k], alone, rtol=0, atol=1e-4 * np.abs(alone).max())
    gathers = np.asarray(gathers)
    assert np.abs(gathers[0] - gathers[1]).max() > 1e-2 * np.abs(gathers).max()


def test_models_are_the_same_without_jit() -> None:
    plain = np.asarray(PRESETS["layered"](KEYS[0], OTHER))
    # Rounding may move a cell past an interface, hence the mean.
    assert np.abs(plain - np.asarray(draw(KEYS[0], OTHER, "layered"))).mean() < 1e-4


def test_a_key_gives_the_same_geology_at_another_spacing(family: np.ndarray) -> None:
    fine = np.asarray(draw(KEYS[3], dataclasses.replace(CHALLENGE, nz=1260)))
    means = fine.reshape(60, 5, 252, 5).mean(axis=(1, 3))
    assert np.abs(means - family[3]).mean() / means.mean() < 0.02


def test_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(UserError, match=r"'lunar'.*marine.*salt"):
        draw(KEYS[0], COARSE, "lunar")


def test_layered_beds_are_planes() -> None:
    velocity = np.asarray(draw(KEYS[0], OTHER, "layered"))
    across = np.abs(np.diff(velocity, axis=0)).mean()
    assert across < 0.3 * np.abs(np.diff(velocity, axis=1)).mean()


def test_salt_holds_a_body_of_one_velocity() -> None:
    for key in KEYS[:4]:
        velocity = np.asarray(draw(key, OTHER, "salt"))
        values, counts = np.unique(velocity[velocity > 5.0], return_counts=True)
        assert counts.max() > 0.01 * velocity.size and values[counts.argmax()] >= 5.5


def test_paint_gives_each_cell_the_mean_of_its_beds() -> None:
    tops, values = jnp.array([0.0, 2.5, 4.0]), jnp.array([1.0, 3.0, 5.0])
    z = jnp.arange(7.0)[None, :]
    painted = jax.jit(lambda *beds: strata.paint(z, *beds, 1.0, 0.0, 8.0))(tops, values)
    # The cell at 2 m reaches from 1.5 to 2.5, that at 4 m from 3.5 to 4.5: half 3, half 5.
    np.testing.assert_allclose(painted, [[1, 1, 1, 3, 4, 5, 5]], atol=1e-5)


def test_correlated_series_has_unit_variance_and_the_stated_correlation() -> None:
    series = np.asarray(mapped(lambda key: strata.correlated(key, 200, 0.6))(KEYS))
    assert series.var() == pytest.approx(1.0, abs=0.05)
    assert np.mean(series[:, 1:] * series[:, :-1]) == pytest.approx(0.6, abs=0.05)


def test_unfold_pushes_down_by_the_top_shape_above_and_the_bottom_shape_below() -> None:
    coordinate = folds.unfold(jnp.array([[0.0, 50.0, 100.0]]), jnp.array([[4.0]]), jnp.array([[8.0]]), 100.0)
    np.testing.assert_allclose(coordinate, [[-4.0, 44.0, 92.0]])


def test_undulation_has_unit_height_and_no_mean() -> None:
    x = jnp.arange(60.0)[:, None] * 5
    curves = mapped(lambda key: folds.undulation(key, x, 100.0, 400.0))(KEYS[:20])
    np.testing.assert_allclose(np.ptp(curves, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(np.mean(curves, axis=1), 0.0, atol=1e-5)


def test_fault_lowers_one_side_by_its_throw_or_nothing() -> None:
    x, z = jnp.arange(60.0)[:, None] * 5, jnp.arange(250.0)[None, :] * 5
    shift_if = jax.jit(lambda there: faults.fault_shift(KEYS[0], x, z, 1250.0, there))
    assert not np.any(shift_if(jnp.array(False)))
    shift = np.asarray(shift_if(jnp.array(True)))
    moved = shift[shift > 0]
    assert 0 < moved.size < shift.size
    assert moved.min() >= 0.6 * 0.016 * 1250 and moved.max() <= 1.4 * 0.065 * 1250


def test_blend_stays_within_the_models_and_mirrors_some(family: np.ndarray) -> None:
    models = jnp.asarray(family[:3])
    mixed = np.asarray(mapped(lambda key: blend(key, models))(KEYS[:8]))
    assert mixed.shape == (8, 60, 252) and mixed.dtype == np.float32
    assert models.min() <= mixed.min() and mixed.max() <= models.max()
    assert np.unique(mixed.mean(axis=(1, 2))).size == 8
    # One model alone comes back as it is or mirrored, and both happen.
    alone = np.asarray(mapped(lambda key: blend(key, models[:1]))(KEYS[:16]))
    same = [np.allclose(one, models[0], atol=1e-5) for one in alone]
    turned = [np.allclose(one, models[0, ::-1], atol=1e-5) for one in alone]
    assert any(same) and any(turned) and all(np.logical_or(same, turned))


def test_a_drift_is_a_factor_of_depth_alone_and_leaves_the_water() -> None:
    k_section, _ = jax.random.split(KEYS[5])
    section, drifted = (
        np.asarray(draw(k_section, CHALLENGE, "varied")),
        np.asarray(draw(KEYS[5], CHALLENGE, "drifting")),
    )
    wet = section <= 1.5
    np.testing.assert_array_equal(drifted[wet], section[wet])
    free = ~wet & (drifted > 1.5) & (drifted < 4.5)
    ratio = np.where(free, drifted / section, np.nan)[:, 700:]
    seen = ~np.isnan(ratio).all(0)
    spread = np.nanmax(ratio[:, seen], axis=0) - np.nanmin(ratio[:, seen], axis=0)
    assert seen.sum() > 300 and spread.max() < 1e-4
    assert np.ptp(np.nanmean(ratio[:, seen], axis=0)) > 0.02
