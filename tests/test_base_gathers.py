"""Networks that look at what their base leaves of the gathers: in training, in prediction, from weights without."""

import dataclasses

import jax
import numpy as np
import one_process
import pytest
from tiny_run import SETTINGS, SURVEY, tiny_config, write_samples

from jax_inversion import config as configs
from jax_inversion import train as door
from jax_inversion.errors import UserError
from jax_inversion.inference.predictor import Predictor
from jax_inversion.inference.stored import predict_stored, stored_samples
from jax_inversion.losses import mape
from jax_inversion.resampling import cell_means
from jax_inversion.runs import Run
from jax_inversion.simulation import filling
from jax_inversion.training import read_metrics, simulated_for
from jax_inversion.training.base import fit_base, gathers_of

NETWORK = {"name": "traveltime", "columns": 2, "width": 8, "heads": 2, "layers": 1}
SECTIONS = {
    "simulator": {"spacing_m": 10.0, "background_km_s": "none"},
    "base": {"regression": "linear", "spacing_m": 20.0},
    "ensemble": {"members": 1},
    "train": {"epochs": 1},
}


def config(residual=True, **sections):
    return tiny_config(model=NETWORK | {"residual": residual}, **SECTIONS | sections)


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """A run, and the gathers that it was trained with."""
    room, seen = tmp_path_factory.mktemp("base_gathers"), []

    def simulated(*given, **how):
        store = filling.simulated_store(*given, **how)
        seen.append(np.array(store.gathers))
        return store

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filling, "run", one_process.run)
        patch.setattr(door, "simulated_store", simulated)
        door.train(config(), write_samples(room / "data"), room / "run")
        assert len(seen) == 1 and sorted(p.name for p in (room / "run/store").iterdir()) == ["base.npz", "train"]
        door.train(config(), room / "data", room / "run")  # nothing is left to train
        assert len(seen) == 1
        yield room, seen[0]


def test_they_are_those_of_the_base_of_each_sample(room):
    folder, seen = room
    predictor = Predictor.load(folder / "run")
    samples = stored_samples(predictor)
    grids = fit_base(predictor.config, samples, Run(folder / "run").base).grids["linear"]
    assert seen.shape == samples.store.gathers.shape
    survey = SURVEY.with_interval(4e-3)
    np.testing.assert_allclose(seen[:3], gathers_of(config(), survey, grids[:3]), atol=1e-5 * np.abs(seen).max())
    start = predictor.starts({"linear": grids[:3]})["linear"]
    np.testing.assert_allclose(start.gathers, seen[:3], atol=1e-5 * np.abs(seen).max())
    assert start.gathers.std() > 0


def test_a_device_simulates_them_as_one_batch(monkeypatch):
    models = np.random.default_rng(0).uniform(1.5, 4.0, (3, 4, 6)).astype(np.float32)
    survey = SURVEY.with_interval(4e-3)
    one_by_one = gathers_of(config(), survey, models)
    monkeypatch.setattr(jax, "default_backend", lambda: "accelerator")
    np.testing.assert_allclose(gathers_of(config(), survey, models), one_by_one, atol=1e-5 * np.abs(one_by_one).max())


def test_predictions_see_what_validation_saw(room):
    folder, _ = room
    predictor = Predictor.load(folder / "run", ["--infer.mirror", "false"])
    samples = stored_samples(predictor)
    stored = predict_stored(predictor, samples, samples.validation, "predicting")
    truths = cell_means((samples.store.models[row] for row in samples.validation), stored.models.shape[1:])
    scores = [mape(model, truth) for model, truth in zip(stored.models, truths, strict=True)]
    (line,) = (line for line in read_metrics(folder / "run") if "validation/mape" in line)
    assert np.mean(scores) == pytest.approx(line["validation/mape"], rel=1e-4)
    fresh = predictor.models(samples.store.gathers[samples.validation])[0]
    assert fresh.shape == (len(samples.validation), *SURVEY.model_shape) and np.isfinite(fresh).all()


def test_weights_without_them_go_on_with_them(room, monkeypatch):
    folder, _ = room
    monkeypatch.setattr(filling, "run", one_process.run)
    door.train(config(residual=False), folder / "data", folder / "plain")
    start = {"start": str(folder / "plain"), "epochs": 1, "learning_rate": 1e-9, "ema_decay": 0.0}
    door.train(config(train=SETTINGS["train"] | start), folder / "data", folder / "tuned")
    plain, tuned = (Predictor.load(folder / name).restored for name in ("plain", "tuned"))
    (name,) = tuned.params
    grown = dict(tuned.params[name])
    assert np.abs(grown.pop("residual_embedding")["kernel"]).max() < 1e-6
    before = plain.variables["params"][name]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), grown, before)
    deeper = dataclasses.replace(config().model, layers=2)
    with pytest.raises(UserError, match="belongs to another model"):
        other = dataclasses.replace(config(train=SETTINGS["train"] | start), model=deeper)
        door.train(other, folder / "data", folder / "other")


def test_only_bases_that_are_looked_at_are_simulated():
    group = {"members": 1, "base": "profile", "model": {"residual": False}}
    groups = config(ensemble={"members": 1, "group": [group]})
    assert simulated_for(groups) == ["linear"] and simulated_for(config(residual=False)) == []
    values = configs.as_dict(config())
    with pytest.raises(UserError, match=r"base\.regression is 'none'"):
        configs.from_dict(values | {"base": values["base"] | {"regression": "none"}})
