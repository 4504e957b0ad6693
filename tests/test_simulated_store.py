"""Simulated samples straight into a store: the same whatever happened on the way."""

import json

import jax
import numpy as np
import one_process
import pytest
from physics_tiny import TINY

from jax_inversion import backgrounds, geology, physics
from jax_inversion.errors import RunError
from jax_inversion.physics.settings import SimulatorConfig
from jax_inversion.simulation import filling, simulated_store
from jax_inversion.simulation.stock import StockJob

SHAPE, COUNT = (12, 15), 4
SIMULATOR = SimulatorConfig(spacing_m=20.0, background_km_s="none")


@pytest.fixture(autouse=True)
def no_workers(monkeypatch):
    monkeypatch.setattr(filling, "run", one_process.run)


def make(folder, **changes):
    how = {"geology": "layered:1 folded:1", "seed": 5, "simulator": SIMULATOR} | changes
    return simulated_store(folder, how.pop("count", COUNT), TINY, SHAPE, **how)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filling, "run", one_process.run)
        return make(tmp_path_factory.mktemp("whole") / "train")


def test_rows_are_the_samples_of_the_seed(whole):
    assert whole.gathers.shape == (COUNT, *TINY.gathers_shape) and whole.velocities.shape == (COUNT, *SHAPE)
    for k, sample_id in enumerate(whole.ids):
        preset = geology.preset_of("layered:1 folded:1", 5, k)
        assert sample_id == f"{preset}-s5-{k:08d}"
        velocity = geology.draw(jax.random.fold_in(jax.random.key(5), k), TINY, preset)
        means = np.asarray(velocity).reshape(12, 2, 15, 2).mean((1, 3))
        np.testing.assert_allclose(whole.velocities[k], means, rtol=1e-5)
        gathers = physics.simulate(velocity, TINY, **backgrounds.options(TINY, SIMULATOR))
        np.testing.assert_allclose(whole.gathers[k], gathers, atol=1e-6 * np.abs(gathers).max())
    assert whole.std == pytest.approx(np.std(whole.gathers), rel=1e-4)


def test_an_interrupted_filling_goes_on_with_whole_rows_only(whole, tmp_path, monkeypatch):
    made, make_one = [], StockJob.make

    def interrupted(job, k):
        if k == 3:
            raise OSError(28, "No space left on device", "gathers.npy")
        made.append(k)
        return make_one(job, k)

    monkeypatch.setattr(StockJob, "make", interrupted)
    with pytest.raises(RunError, match="no space left"):
        make(tmp_path / "train")
    assert made == [0, 1, 2] and not (tmp_path / "train").exists()
    journal = tmp_path / "train.filling" / filling.JOURNAL
    rows = [json.loads(line) for line in journal.read_text().splitlines()]
    rows[1]["crc"] ^= 1  # as if its row had not reached the disk
    journal.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"row": 2, "cr')
    made.clear()
    monkeypatch.setattr(StockJob, "make", lambda job, k: made.append(k) or make_one(job, k))
    store = make(tmp_path / "train")
    assert made == [1, 3] and not (tmp_path / "train.filling").exists()
    np.testing.assert_array_equal(store.gathers, whole.gathers)
    np.testing.assert_array_equal(store.velocities, whole.velocities)
    assert store.fingerprint == whole.fingerprint and store.std == whole.std


def test_only_the_very_same_store_is_used_again(whole, tmp_path, monkeypatch):
    made, make_one = [], StockJob.make
    monkeypatch.setattr(StockJob, "make", lambda job, k: made.append(k) or make_one(job, k))
    make(tmp_path / "train", count=2)
    make(tmp_path / "train", count=2)
    assert made == [0, 1]
    make(tmp_path / "train", count=2, seed=6)
    assert made == [0, 1] * 2
    path = tmp_path / "train" / "velocities.npy"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    make(tmp_path / "train", count=2, seed=6)
    assert made == [0, 1] * 3
