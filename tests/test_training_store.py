"""A run on samples that another run packed or simulated: the same files, and one line where they do not fit."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from tiny_run import tiny_config, write_samples

from jax_inversion.data import rows
from jax_inversion.errors import UserError
from jax_inversion.train import open_store

SHARED = {"source": "store", "validation_fraction": 0.25}


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    """A run that has packed eight samples."""
    place = tmp_path_factory.mktemp("packed")
    open_store(tiny_config(), write_samples(place / "data", 8), place / "run")
    return place / "run"


@pytest.mark.parametrize("given", ["run", "run/store/train"])
def test_the_run_has_the_others_samples_without_their_bytes_twice(packed, tmp_path, given):
    store = open_store(tiny_config(data=SHARED), packed.parent / given, tmp_path / "other")
    assert len(store) == 8 and store.models.shape == (8, 12, 20)
    mine, theirs = (place / "store" / "train" / "gathers.npy" for place in (tmp_path / "other", packed))
    assert mine.samefile(theirs)
    again = open_store(tiny_config(data=SHARED), packed, tmp_path / "other")
    assert again.fingerprint == store.fingerprint
    np.testing.assert_array_equal(again.gathers, open_store(tiny_config(), packed.parent / "data", packed).gathers)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"preprocess": {"dt_s": 2e-3}}, "packed with preprocess.dt_s 0.004, this run's is 0.002"),
        ({"survey": {"source_z_m": 30.0}}, "of another survey; what differs is source_z_m"),
    ],
)
def test_samples_of_something_else_are_refused(packed, tmp_path, changed, said):
    config = tiny_config(data=SHARED)
    values = {name: dataclasses.replace(getattr(config, name), **fields) for name, fields in changed.items()}
    with pytest.raises(UserError, match=said):
        open_store(dataclasses.replace(config, **values), packed, tmp_path / "other")
    assert not (tmp_path / "other" / "store").exists()


def test_no_store_and_a_damaged_one_are_named(packed, tmp_path):
    with pytest.raises(UserError, match=r"not a packed store .*right is a run, or its store/train"):
        open_store(tiny_config(data=SHARED), tmp_path, tmp_path / "other")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in (packed / "store" / "train").iterdir():
        (damaged / file.name).write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match="damaged: not a packed store"):
        open_store(tiny_config(data=SHARED), damaged, tmp_path / "other")


def test_simulated_samples_on_coarse_cells_train_on_no_finer_ones(tmp_path):
    config = tiny_config(data=SHARED)
    survey = config.survey.with_interval(config.preprocess.dt_s)
    (folder := tmp_path / "store").mkdir()
    for array in rows.create(folder, {rows.GATHERS: (2, *survey.gathers_shape), rows.VELOCITIES: (2, 6, 10)}).values():
        array[:] = 2.0
    rows.close(folder, ["a", "b"], 1.0, {"simulated": {"survey": survey.as_dict()}, "count": 2})
    with pytest.raises(UserError, match=r"6 x 10 cells, the loss needs 12 x 20; right is a larger train.spacing_m"):
        open_store(config, folder, tmp_path / "run")
    coarse = dataclasses.replace(config, train=dataclasses.replace(config.train, spacing_m=20.0))
    assert len(open_store(coarse, folder, tmp_path / "run")) == 2
