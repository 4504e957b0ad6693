"""Other samples every few epochs: each epoch sees its own round's, made ahead, removed behind, waited for."""

import dataclasses
import threading

import numpy as np
import pytest
from tiny_run import SURVEY

from jax_inversion import config as configs
from jax_inversion.data.loader import batches
from jax_inversion.data.rows import Store
from jax_inversion.errors import RunError, UserError
from jax_inversion.training.rounds import Rounds
from jax_inversion.training.samples import Samples

SIZE, ROUNDS = 8, 3


def store(number):
    """Samples whose every value says which they are."""
    rows = np.arange(SIZE, dtype=np.float32) + number * SIZE
    gathers = np.broadcast_to(rows[:, None, None, None], (SIZE, 2, 3, 4)).copy()
    models = np.broadcast_to(rows[:, None, None], (SIZE, 5, 6)).copy()
    return Store(tuple(f"s{int(row)}" for row in rows), gathers, models, SURVEY, 1.0)


def begun(folder, make=None, current=0):
    first = Samples(store(0), np.arange(2, SIZE), np.arange(2))
    grids = {"linear": np.asarray(first.store.models)[:, :2, :2]}

    def made(number, tell):
        (folder / str(number)).mkdir()
        for _ in range(SIZE):
            tell()
        return store(number)

    return Rounds(
        first, grids, ROUNDS, current, lambda number: folder / str(number), make or made,
        lambda store, number, tell: {"linear": store.models[:, :2, :2]},
    )  # fmt: skip


def read(rounds, epochs):
    """The values of gathers, models and grids, and the rows, of each epoch of one member."""
    plan = batches(
        rounds.store, rounds.first.train, batch_size=3, members=1, seed=0, extra=rounds.extra, later=rounds.later,
        fresh_every=2,
    )  # fmt: skip
    for _ in range(epochs):
        some = [next(plan) for _ in range(2)]
        yield [
            np.concatenate([b[k][0].reshape(3, -1)[:, 0] for b in some])
            for k in ("gathers", "velocity", "linear", "index")
        ]


def test_each_epoch_sees_the_samples_of_its_round_and_those_of_the_one_before_are_removed(tmp_path):
    rounds = begun(tmp_path)
    for epoch, (*values, index) in enumerate(read(rounds, 6)):
        assert set(index // SIZE) == {epoch // 2}
        for found in values:
            np.testing.assert_array_equal(found, index)
        assert rounds.name_of(int(index[0])) == f"s{int(index[0])}"
        if epoch < 2:
            assert len(set(index)) == len(rounds.first.train) and set(index) <= set(rounds.first.train)
    assert not (tmp_path / "1").exists() and (tmp_path / "2").exists()
    rounds.remove()
    assert not list(tmp_path.iterdir())


def test_a_run_that_goes_on_makes_only_the_round_that_it_is_in_and_later_ones(tmp_path):
    rounds = begun(tmp_path, current=2)
    assert not list(tmp_path.iterdir())
    np.testing.assert_array_equal(rounds.store.gathers[np.array([2 * SIZE + 1])][:, 0, 0, 0], 2 * SIZE + 1)
    assert [path.name for path in tmp_path.iterdir()] == ["2"]


def test_what_goes_wrong_in_making_is_raised_in_training(tmp_path):
    def fails(number, tell):
        raise RunError("sample s9: no room")

    rounds = begun(tmp_path, fails)
    with pytest.raises(RunError, match="s9"):
        rounds.store.gathers[np.array([SIZE])]
    with pytest.raises(RunError, match="s9"):
        rounds.check()


def test_nothing_is_made_any_more_once_training_ends(tmp_path):
    going, told = threading.Event(), []

    def endless(number, tell):
        try:
            while True:
                tell()
                going.set()
        except BaseException:
            told.append(number)
            raise

    rounds = begun(tmp_path, endless)
    assert going.wait(10)
    rounds.close()
    made = rounds._made[1]
    assert made.exception(10) is not None and told == [1]


def test_only_simulated_samples_can_be_exchanged():
    config = configs.Config()
    with pytest.raises(UserError, match=r"simulate.fresh_every has no effect with data.source 'folders'"):
        dataclasses.replace(config, simulate=dataclasses.replace(config.simulate, fresh_every=1))
