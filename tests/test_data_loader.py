"""The loader's batches are a function of seed and position: every row once an epoch, and exact after a restore."""

import itertools
import json

import numpy as np
import pytest

from jax_inversion.data.loader import batches, steps_per_epoch
from jax_inversion.data.store import Store
from jax_inversion.survey import Survey

SURVEY = Survey(
    nx=3, nz=2, spacing_m=5.0, nt=4, dt_s=1e-3, source_x_m=(0.0, 10.0), source_z_m=5.0,
    receiver_x_m=(0.0, 10.0), receiver_z_m=5.0,
)  # fmt: skip


def a_store(n, velocities=True):
    gathers = np.arange(n * 16, dtype=np.float32).reshape(n, 2, 4, 2)
    models = np.arange(n * 6, dtype=np.float32).reshape(n, 3, 2)
    return Store(tuple(f"s{k}" for k in range(n)), gathers, models if velocities else None, SURVEY, 1.0)


def take(iterator, n):
    return list(itertools.islice(iterator, n))


def test_a_batch_holds_the_rows_that_its_index_names():
    store, base = a_store(10), np.arange(20.0, dtype=np.float32).reshape(10, 2, 1)
    loader = batches(store, np.arange(2, 9), batch_size=3, members=2, seed=1, extra={"base": base})
    for batch in take(loader, 5):
        index = batch["index"]
        assert index.shape == (2, 3) and index.dtype == np.int32
        assert batch["gathers"].shape == (2, 3, 2, 4, 2) and batch["velocity"].shape == (2, 3, 3, 2)
        assert {type(rows) for rows in batch.values()} == {np.ndarray}
        np.testing.assert_array_equal(batch["gathers"], store.gathers[index])
        np.testing.assert_array_equal(batch["velocity"], store.velocities[index])
        np.testing.assert_array_equal(batch["base"], base[index])
    without = next(batches(a_store(4, velocities=False), np.arange(4), batch_size=2, members=1, seed=0))
    assert set(without) == {"index", "gathers"}


def test_an_epoch_takes_each_row_once_and_every_member_has_its_own_order():
    indices = np.array([1, 4, 5, 7, 8, 9, 11, 12])
    steps = steps_per_epoch(8, 2)
    found = take(batches(a_store(13), indices, batch_size=2, members=3, seed=0), 2 * steps)
    epochs = [np.concatenate([b["index"] for b in found[k : k + steps]], axis=1) for k in (0, steps)]
    orders = [tuple(row) for epoch in epochs for row in epoch]
    assert all(sorted(order) == list(indices) for order in orders)
    assert len(set(orders)) == 6  # three members, two epochs


def test_the_remainder_rotates_rather_than_being_lost():
    steps = steps_per_epoch(7, 3)
    found = take(batches(a_store(7), np.arange(7), batch_size=3, members=1, seed=0), 20 * steps)
    for k in range(0, len(found), steps):
        assert len(np.unique([b["index"] for b in found[k : k + steps]])) == 6
    assert {int(i) for b in found for i in b["index"].flat} == set(range(7))


def test_steps_per_epoch():
    assert [steps_per_epoch(n, 4) for n in (1, 3, 4, 7, 8, 5000)] == [1, 1, 1, 1, 2, 1250]


def test_fewer_samples_than_a_batch_still_make_one():
    batch = next(batches(a_store(3), np.array([0, 2]), batch_size=5, members=2, seed=0))
    for row in batch["index"]:
        assert len(row) == 5 and set(row) == {0, 2}


@pytest.mark.parametrize("at", [0, 1, 3, 4, 11])
def test_a_restored_position_gives_the_same_batches(at):
    def loader():
        return batches(a_store(9), np.arange(9), batch_size=2, members=2, seed=5)

    straight = take(loader(), at + 9)
    first = loader()
    take(first, at)
    state = json.loads(json.dumps(first.get_state()))
    second = loader()
    take(second, 2)  # wherever it stood before
    second.set_state(state)
    for one, two, three in zip(straight[at:], take(first, 9), take(second, 9), strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], two[name])
            np.testing.assert_array_equal(one[name], three[name])


def test_the_seed_decides():
    def order(seed):
        found = take(batches(a_store(50), np.arange(50), batch_size=5, members=2, seed=seed), 4)
        return np.stack([b["index"] for b in found]).tolist()

    assert order(1) == order(1) and order(1) != order(2)


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="at least one row"):
        batches(a_store(3), np.array([], np.int32), batch_size=2, members=1, seed=0)


@pytest.mark.parametrize("resample", ["none", "bootstrap", "fold"])
def test_members_may_see_samples_of_their_own(resample):
    rows = np.arange(10, 34)
    data = batches(a_store(34), rows, batch_size=4, members=3, seed=7, resample=resample)
    epochs = [np.concatenate([batch["index"] for batch in take(data, 6)], axis=1) for _ in range(2)]
    seen = [set(row) for row in epochs[0]]
    if resample == "none":
        assert all(own == set(rows) for own in seen)
    elif resample == "bootstrap":  # a third is left out of as many draws with replacement
        assert all(10 <= len(own) <= 20 for own in seen) and len({frozenset(own) for own in seen}) == 3
        assert [sorted(row) for row in epochs[0]] == [sorted(row) for row in epochs[1]], "the same rows in each epoch"
    else:
        left_out = [set(rows) - own for own in seen]
        assert all(len(out) == 8 for out in left_out) and set.union(*left_out) == set(rows)
