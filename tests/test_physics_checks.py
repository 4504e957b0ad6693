"""Wrong input is refused before anything is compiled; the small parts that the loop is made of."""

import dataclasses
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from physics_tiny import CELL_M, TINY, model

from jax_inversion.errors import UserError
from jax_inversion.physics import simulate, stencil
from jax_inversion.physics.dispersion import source_matrices, steps_needed, trace_matrices
from jax_inversion.physics.grid import Grid
from jax_inversion.physics.wavelet import ricker


def changed(value: float) -> np.ndarray:
    velocity = model()
    velocity[3, 4] = value
    return velocity


@pytest.mark.parametrize(
    ("velocity", "survey", "options", "said"),
    [
        (model(), TINY, dict(step_s=0.01), "10 ms is above the Courant limit of"),
        (changed(9.0), TINY, {}, "9 km/s on 20 m cells"),
        (changed(np.nan), TINY, {}, "NaN or infinity"),
        (changed(np.inf), TINY, {}, "NaN or infinity"),
        (changed(0.0), TINY, {}, "falls to 0 km/s"),
        (changed(-1.5), TINY, {}, "falls to -1.5 km/s"),
        (model()[:-1], TINY, {}, r"\(23, 30\); the survey's models are \(24, 30\)"),
        (model(), dataclasses.replace(TINY, source_x_m=(100.0, 2000.0)), {}, "source_x_m = 2000 m lies in the abs"),
        (model(), dataclasses.replace(TINY, receiver_z_m=-31.0), {}, "-31 m lies in the .* spans -10 to 590 m"),
        (model(), TINY, dict(spacing_m=34.0), "1.5[0-9]* km/s at 15 Hz, 3 times the survey's peak_hz; at most 33.33 m"),
        (model() > 2, TINY, {}, "holds bool"),
        (model().astype(complex), TINY, {}, "holds complex"),
        (model(), dataclasses.replace(TINY, receiver_z_m=0.0), dict(free_surface=True), "not below the free surface"),
        (model(), TINY, dict(order=6), "order 6 is not one of 2, 4, 8"),
        (model(), TINY, dict(boundary="sponge"), "boundary 'sponge' is not one of damping, cpml"),
        (
            np.full((4, 30), 2.0, np.float32),
            dataclasses.replace(TINY, nx=4, source_x_m=(40.0,), receiver_x_m=(0.0, 60.0)),
            dict(boundary="cpml"),
            r"8 cells or more each way, not \(4, 30\)",
        ),
        (model(), TINY, dict(memory="disk"), "memory 'disk' is not one of store, recompute"),
        (model(), TINY, dict(keep_every_s=-1.0), "keep_every_s"),
        (
            model(),
            TINY,
            dict(wavelet=np.zeros(5, np.float32)),
            r"shape \(5,\); it needs the survey.s 176 samples",
        ),
        (model(), TINY, dict(spacing_m=0.0), "spacing_m"),
    ],
)
def test_refused(velocity, survey, options, said, monkeypatch):
    monkeypatch.setattr(importlib.import_module("jax_inversion.physics.simulate"), "_simulate", None)  # never reached
    with pytest.raises(UserError, match=said):
        simulate(velocity, survey, **{"spacing_m": CELL_M, **options})


@pytest.mark.parametrize("order", stencil.ORDERS)
def test_order_of_the_laplacian(order):
    k, errors, spacings = 1.0, [], np.array([0.4, 0.2])
    for h in spacings:
        taps = stencil.second_derivative(order)
        symbol = taps[0] + 2 * sum(c * np.cos(j * k * h) for j, c in enumerate(taps[1:], 1))
        errors.append(abs(symbol / h**2 + k**2))
    assert abs(np.polyfit(np.log(spacings), np.log(errors), 1)[0] - order) < 0.1


def test_stencil_like_a_finer_grid():
    k_h = 0.3  # a fifth of the spacing, as 1 m for 5 m cells
    taps = stencil.second_derivative(8, 0.2)
    symbol = taps[0] + 2 * sum(c * np.cos(j * k_h) for j, c in enumerate(taps[1:], 1))
    assert symbol == pytest.approx(-((2 * np.sin(k_h * 0.1) / 0.2) ** 2), rel=1e-7)


@pytest.mark.parametrize("order", stencil.ORDERS)
def test_laplacian_slope_and_curvature_of_a_parabola(order):
    half = order // 2
    x, z = np.meshgrid(np.arange(12.0), np.arange(14.0), indexing="ij")
    field = jnp.asarray(x**2 + 3 * z**2 + x * z, jnp.float32)
    inside = (slice(half, -half), slice(half, -half))
    taps = stencil.second_derivative(order)

    @jax.jit
    def differences(f):
        return stencil.laplacian(f, taps), stencil.curvature(f, -2, taps), stencil.slope(f, -1, half)

    laplacian, curvature, slope = differences(field)
    np.testing.assert_allclose(laplacian, 8, atol=1e-3)
    np.testing.assert_allclose(curvature[:, inside[1]], 2, atol=1e-3)
    np.testing.assert_allclose(slope[inside[0]], (6 * z + x)[inside], rtol=1e-4)


def test_time_matrices_are_inverse_of_each_other():
    step_s, duration_s = 2e-3, TINY.duration_s
    steps = steps_needed(duration_s, step_s)
    forth, back = source_matrices(TINY.nt, TINY.dt_s, steps, step_s, TINY.peak_hz, step_s)
    wavelet = ricker(np.arange(TINY.nt) * TINY.dt_s, TINY.peak_hz)
    terms = back @ (forth @ wavelet)
    # Without a correction (like_step_s = step_s) both only resample.
    np.testing.assert_allclose(terms, ricker(np.arange(steps) * step_s, TINY.peak_hz), atol=2e-3)
    forth, back = trace_matrices(steps, step_s, TINY.nt, TINY.dt_s, TINY.peak_hz, step_s)
    record = ricker(np.arange(1, steps + 1) * step_s, TINY.peak_hz)
    np.testing.assert_allclose(back @ (forth @ record), wavelet, atol=2e-3)
    assert steps_needed(1.0, 1e-3, 6) % 6 == 0


def test_resampling_keeps_a_constant_replicates_edges_and_is_flat_in_the_band():
    grid = Grid(TINY, 30.0, 3, model_m=1.0)
    x, z = grid.resampling
    np.testing.assert_allclose(x.sum(1), 1)
    np.testing.assert_allclose(z.sum(1), 1)
    assert x[0, 0] > 0.9 and x[-1, -1] > 0.9
    assert np.array_equal(Grid(TINY, CELL_M, 0, model_m=CELL_M).resampling[0].round(12), np.eye(TINY.nx))
    fine = dataclasses.replace(TINY, nx=400, nz=400, spacing_m=1.0)
    inner = Grid(fine, 5.0, 0, model_m=1.0)
    for period_m, kept in ((50.0, 1.0), (25.0, 1.0), (20.0, 1.0), (6.5, 0.0)):
        wave = np.cos(2 * np.pi * np.arange(400) / period_m)
        got = (inner.resampling[0] @ wave)[8:-8]
        expected = kept * np.cos(2 * np.pi * inner.centres_m(0)[8:-8] / period_m)
        np.testing.assert_allclose(got, expected, atol=0.02)


def test_sinc_weights_of_a_point_on_a_cell_are_a_unit():
    grid = Grid(TINY, CELL_M, 3)
    np.testing.assert_allclose(grid.sinc(0, (40.0,))[0], np.eye(grid.shape[0])[5], atol=1e-12)
    assert grid.sinc(0, (47.0,)).sum() == pytest.approx(1, abs=1e-2)
