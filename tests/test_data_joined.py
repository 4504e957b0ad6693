"""Two stores as one: rows as NumPy would give them, and batches with the shares that were asked for."""

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from test_data_loader import SURVEY, a_store, take

from jax_inversion.data.joined import Rows, join
from jax_inversion.data.loader import batches

PARTS = [np.arange(n * 12.0, dtype=np.float32).reshape(n, 4, 3) + 100 * n for n in (5, 3)]
WHOLE = np.concatenate(PARTS)

numbers = st.integers(-8, 7)
indices = st.one_of(
    numbers,
    st.slices(8),
    st.lists(numbers, max_size=6).map(lambda rows: np.array(rows, int)),
    st.lists(st.lists(numbers, min_size=2, max_size=2), min_size=1, max_size=3).map(np.array),
    st.tuples(st.one_of(st.slices(8), st.lists(numbers, min_size=1).map(np.array)), st.slices(4)),
)


@given(indices)
def test_rows_are_numpys(index):
    found = Rows(PARTS)[index]
    np.testing.assert_array_equal(found, WHOLE[index])
    assert found.shape == WHOLE[index].shape and found.dtype == np.float32


def test_a_joined_store_has_both_ones_samples_on_the_seconds_cells():
    first, second = a_store(6), a_store(4)
    fine = dataclasses.replace(first, velocities=np.repeat(np.repeat(first.models, 2, 1), 2, 2))
    second = dataclasses.replace(second, ids=tuple(f"t{k}" for k in range(4)), std=7.0)
    joined = join(fine, second)
    assert joined.ids == (*first.ids, *second.ids) and len(joined) == 10 and joined.parts == (6, 4)
    assert joined.std == first.std and joined.survey == SURVEY
    np.testing.assert_allclose(joined.models[:6], first.models)
    np.testing.assert_array_equal(joined.gathers[[7, 2]], np.stack([second.gathers[1], first.gathers[2]]))
    assert joined.fingerprint != join(fine, dataclasses.replace(second, made_from={"other": 1})).fingerprint


def test_epochs_have_the_shares_and_take_every_row_as_often_as_another():
    joined = join(a_store(6), dataclasses.replace(a_store(24), ids=tuple(f"t{k}" for k in range(24))))
    loader = batches(joined, np.arange(30), batch_size=5, members=2, seed=0, second_share=0.6)
    for epoch in range(3):
        drawn = np.stack([batch["index"] for batch in take(loader, 6)], axis=1).reshape(2, -1)
        for rows in drawn:
            counts = np.bincount(rows, minlength=30)
            assert counts[:6].tolist() == [2] * 6, epoch  # 12 of 30 are of the first part
            assert counts[6:].sum() == 18 and counts[6:].max() == 1
        assert (drawn[0] != drawn[1]).any()
    one_kind = batches(joined, np.arange(6, 30), batch_size=5, members=1, seed=0, second_share=0.6)
    assert min(batch["index"].min() for batch in take(one_kind, 4)) >= 6
