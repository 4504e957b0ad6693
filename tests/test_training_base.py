"""The fitted baselines of a run: what they score, and that they are kept, found again, and fitted anew when damaged."""

import dataclasses
import logging

import numpy as np
import pytest
from tiny_run import SURVEY, tiny_config

from jax_inversion import regression
from jax_inversion.data.store import Store
from jax_inversion.losses import mape
from jax_inversion.training import base as bases
from jax_inversion.training.base import fit_base
from jax_inversion.training.samples import Samples

COUNT = 14
TRAIN, VALIDATION = np.array([0, 1, 2, 4, 5, 6, 8, 9, 10, 12]), np.array([3, 7, 11, 13])
DECIMATED = SURVEY.with_interval(4e-3)
BASE = {"dt_s": 16e-3, "spacing_m": 20.0}


def config(**base):
    return tiny_config(base=BASE | base)


def samples(survey=DECIMATED, validation=VALIDATION, seed=0):
    """Layers whose velocity the gathers tell."""
    rng = np.random.default_rng(seed)
    speed = rng.uniform(2, 4, COUNT).astype(np.float32)
    velocity = np.full((COUNT, *survey.model_shape), 1.5, np.float32)
    velocity[:, :, 8:] = speed[:, None, None]
    gathers = 0.01 * rng.standard_normal((COUNT, *survey.gathers_shape)).astype(np.float32)
    gathers += 0.1 * speed[:, None, None, None] * np.sin(np.arange(survey.nt, dtype=np.float32) / 3)[:, None]
    ids = tuple(f"s{k:02d}" for k in range(COUNT))
    store = Store(ids, gathers, velocity, survey, float(gathers.std()), {"samples": seed})
    return Samples(store, TRAIN, validation)


@pytest.mark.parametrize("survey", [DECIMATED, dataclasses.replace(DECIMATED, source_x_m=(0.0, 50.0))])
@pytest.mark.parametrize("name", ["none", "profile", "linear", "kernel"])
def test_every_survey_has_its_baselines_and_every_base_its_grids(survey, name):
    given = samples(survey)
    base = fit_base(config(regression=name), given)
    assert tuple(base.mape) == ("profile", "linear", *(["kernel"] if name == "kernel" else []))
    assert regression.fitted(base.arrays) == tuple(base.mape)
    assert base.mape["linear"] < 0.5 * base.mape["profile"]
    assert base.grids.keys() == {name} - {"none"}
    if name == "none":
        return
    grids = base.grids[name]
    assert grids.shape == (COUNT, *((1, 20) if name == "profile" else (6, 10))) and grids.dtype == np.float32
    plain = regression.predict(base.arrays, name, given.store.gathers, survey.model_shape)
    scores = [mape(plain[row], given.store.velocities[row]) for row in VALIDATION]
    np.testing.assert_allclose(np.mean(scores), base.mape[name], rtol=1e-5)
    if name != "profile":
        coarse = plain.reshape(COUNT, 6, 2, 10, 2).mean((2, 4))
        seen = np.abs(coarse - grids).max((1, 2))
        assert seen[VALIDATION].max() < 0.5 < 20 * seen[TRAIN].max()


def test_training_rows_that_stand_in_for_validation_do_not_see_themselves():
    usual, base = (fit_base(config(regression="linear"), samples(validation=v)) for v in (VALIDATION, TRAIN[:4]))
    np.testing.assert_array_equal(base.grids["linear"][TRAIN], usual.grids["linear"][TRAIN])


@pytest.mark.parametrize("name", ["linear", "kernel"])
def test_all_samples_may_be_fitted(name):
    given = dataclasses.replace(samples(), train=np.arange(COUNT), validation=np.arange(4))
    grids = fit_base(config(regression=name), given).grids[name]
    assert grids.shape == (COUNT, 6, 10) and np.isfinite(grids).all()


def test_of_a_large_set_some_are_fitted_and_the_others_predicted():
    given = samples()
    base = fit_base(config(regression="kernel", most_samples=4), given)
    assert len(base.arrays["points"]) == 4
    fitted = TRAIN[np.linspace(0, len(TRAIN) - 1, 4).round().astype(int)]
    plain = regression.predict(base.arrays, "kernel", given.store.gathers, (6, 10))
    off = np.abs(plain - base.grids["kernel"]).max((1, 2))
    assert off[np.setdiff1d(np.arange(COUNT), fitted)].max() < 1e-4 < off[fitted].min()


def test_preprocessed_gathers_may_be_the_input():
    given = samples()
    setting = tiny_config(base=BASE | {"regression": "linear", "input": "preprocessed"}, preprocess={"dt_s": 4e-3})
    base = fit_base(setting, given)
    assert base.arrays["gain"] == 0 and base.mape["linear"] < 0.5 * base.mape["profile"]
    inputs = bases.base_input(setting, given.store.gathers[:2], bases.fit_inputs(setting, given))
    np.testing.assert_allclose(inputs, given.store.gathers[:2] / given.store.std, rtol=1e-5)


@pytest.fixture
def counted(monkeypatch):
    """The fits, one entry each."""
    fits, fit = [], bases.baselines.fit
    monkeypatch.setattr(bases.baselines, "fit", lambda *given: fits.append(given) or fit(*given))
    return fits


def same(a, b):
    assert a.mape == b.mape and a.arrays.keys() == b.arrays.keys()
    assert a.grids.keys() == b.grids.keys()
    for name, grids in a.grids.items():
        np.testing.assert_array_equal(b.grids[name], grids)
    for name, array in a.arrays.items():
        np.testing.assert_array_equal(b.arrays[name], array, strict=True)


def test_a_fit_is_kept_and_not_repeated(tmp_path, counted):
    path = tmp_path / "store" / "base.npz"
    first = fit_base(config(regression="kernel"), samples(), path)
    same(first, fit_base(config(regression="kernel"), samples(), path))
    assert len(counted) == 1
    assert [p.name for p in path.parent.iterdir()] == ["base.npz"]


@pytest.mark.parametrize("change", ["settings", "split", "store"])
def test_another_fit_replaces_it(tmp_path, counted, change):
    setting, given = config(regression="linear"), samples()
    fit_base(setting, given, tmp_path / "base.npz")
    if change == "settings":
        setting = config(regression="linear", linear_penalty=2.0)
    elif change == "split":
        given = dataclasses.replace(given, train=TRAIN[:-1])
    else:
        given = dataclasses.replace(given, store=dataclasses.replace(given.store, made_from={"samples": 1}))
    for _ in range(2):
        fit_base(setting, given, tmp_path / "base.npz")
    assert len(counted) == 2


def test_a_damaged_file_is_named_and_fitted_anew(tmp_path, counted, caplog):
    setting, given, path = config(regression="linear"), samples(), tmp_path / "base.npz"
    first = fit_base(setting, given, path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    damages = [b"", whole[: len(whole) // 2], whole[:-1], b"x" * 100]
    for position in rng.integers(0, len(whole), 12):
        damages.append(whole[:position] + bytes([whole[position] ^ 255]) + whole[position + 1 :])
    for damaged in damages:
        path.write_bytes(damaged)
        with caplog.at_level(logging.INFO, "jax_inversion"):
            same(first, fit_base(setting, given, path))
    fitted_anew = [record.message for record in caplog.records if "anew" in record.message]
    assert len(fitted_anew) == len(counted) - 1 >= 4 and str(path) in fitted_anew[0]
    path.write_bytes(whole)
    same(first, fit_base(setting, given, path))
    assert len(counted) == len(fitted_anew) + 1
