"""Averaging and interpolation by hand, and what holds for any sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jax_inversion.resampling import (
    averaging_matrix,
    cell_means,
    interpolation_matrix,
    resample,
    resize,
    window_means,
)

sizes = st.tuples(st.integers(1, 40), st.integers(1, 60))


def test_averaging_counts_parts_of_cells():
    np.testing.assert_allclose(averaging_matrix(4, 2), [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    np.testing.assert_allclose(averaging_matrix(3, 2), np.array([[2, 1, 0], [0, 1, 2]]) / 3, rtol=1e-6)
    np.testing.assert_allclose(averaging_matrix(1, 2), [[1], [1]])


def test_whole_cells_count_fully_which_is_adaptive_pooling():
    np.testing.assert_allclose(averaging_matrix(3, 2, whole_cells=True), [[0.5, 0.5, 0], [0, 0.5, 0.5]])
    np.testing.assert_array_equal(averaging_matrix(6, 3, whole_cells=True), averaging_matrix(6, 3))


def test_windows_beyond_the_edge_see_the_edge():
    found = window_means(np.array([-5.0, 0.5]), np.array([-3.0, 2.5]), np.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(found, [[1, 0], [0.25, 0.75]])


def test_interpolation_runs_between_cell_centres():
    np.testing.assert_allclose(interpolation_matrix(2, 4), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    np.testing.assert_allclose(interpolation_matrix(3, 3), np.eye(3))


@pytest.mark.parametrize(
    "build", [averaging_matrix, lambda *pair: averaging_matrix(*pair, whole_cells=True), interpolation_matrix]
)
@given(pair=sizes)
def test_constants_stay_and_the_mirror_commutes(build, pair):
    matrix = build(*pair)
    assert matrix.shape == pair[::-1] and matrix.dtype == np.float32 and matrix.min() >= 0
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-5)


@given(pair=sizes)
def test_averages_keep_the_mean(pair):
    np.testing.assert_allclose(averaging_matrix(*pair).mean(axis=0), 1 / pair[0], atol=1e-5)


def test_resize_interpolates_to_more_cells_and_averages_over_fewer():
    field = np.random.default_rng(0).random((2, 3, 8), np.float32)
    fine = resize(field, (6, 4))
    by_hand = np.repeat(field.reshape(2, 3, 4, 2).mean(-1), 2, axis=1)[:, [0, -1]]
    np.testing.assert_allclose(fine[:, [0, -1]], by_hand, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda x: resize(x, (6, 4)))(jnp.asarray(field)), fine, rtol=1e-6)
    column = resize(np.array([[1.0], [3.0]], np.float32), (12, 1))  # cells of 6: their centres at 2.5 and 8.5
    np.testing.assert_allclose(column[3:9, 0], 1 + 2 * (np.arange(3, 9) - 2.5) / 6, rtol=1e-6)
    np.testing.assert_allclose(column[[0, -1], 0], [1.0, 3.0], rtol=1e-6)
    up = jax.image.resize(jnp.asarray(field), (2, 7, 11), "linear")
    np.testing.assert_allclose(resize(field, (7, 11)), up, rtol=1e-5)


def test_cell_means_of_several_fields():
    field = np.arange(6, dtype=np.float32).reshape(2, 3)
    wanted = [[[(0 + 3 + 0.5 + 2) / 3, (0.5 + 2 + 2 + 5) / 3]]]
    np.testing.assert_allclose(cell_means([field], (1, 2)), wanted, rtol=1e-6)
    np.testing.assert_array_equal(cell_means([field, 2 * field], (2, 3))[1], 2 * field)


def test_resampling_knows_rows_from_columns():
    image = jnp.arange(6.0).reshape(1, 2, 3, 1)
    found = resample(image, averaging_matrix(2, 1), averaging_matrix(3, 3))
    np.testing.assert_allclose(found[0, :, :, 0], [[1.5, 2.5, 3.5]])
