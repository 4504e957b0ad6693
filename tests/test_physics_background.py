"""The background's response: the reference's own direct wave in every gather, the same under every transformation."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from physics_tiny import CELL_M, TINY, model, relative
from test_physics_waves import DEEP, V_KM_S, analytic

from jax_inversion.errors import UserError
from jax_inversion.physics import background, simulate
from jax_inversion.survey import Reference

pytestmark = pytest.mark.usefixtures("few_windows")
RUN = Reference(spacing_m=10.0, dt_s=1e-3, layer_m=200.0)
coarse = partial(simulate, survey=TINY, spacing_m=CELL_M, reference=RUN)


@pytest.fixture(scope="module")
def water() -> np.ndarray:
    return background(TINY, reference=RUN)


def test_the_background_comes_back_as_it_is(water):
    homogeneous = np.full(TINY.model_shape, TINY.v_min_km_s, np.float32)
    assert relative(coarse(homogeneous, background=water), water) < 1e-5
    assert relative(coarse(homogeneous), water) > 1e-4


def test_the_difference_that_a_model_makes_is_the_references(water):
    velocity = model()
    velocity[:, :12] = TINY.v_min_km_s  # the sea
    exact = simulate(velocity, TINY, spacing_m=10.0, order=2, step_s=1e-3, reference=RUN, time_correction=False)
    with_it, without = coarse(velocity, background=water), coarse(velocity)
    assert relative(with_it, exact) < 0.5 * relative(without, exact)


def test_it_is_a_constant_under_jit_vmap_and_gradient(water):
    def corrected(v):
        return coarse(v, background=water)

    models = np.stack([model(), model(1)])
    alone = corrected(models[0])
    assert relative(jax.vmap(corrected)(models)[0], alone) < 1e-5
    weights = np.random.default_rng(0).normal(size=alone.shape).astype(np.float32)

    @partial(jax.jit, static_argnums=0)
    def gradient(f, v):
        def weighted(v):
            gathers = f(v)
            return jnp.vdot(gathers, weights), gathers

        return jax.grad(weighted, has_aux=True)(v)

    with_it, gathers = gradient(corrected, models[0])
    assert relative(gathers, alone) < 1e-5
    assert relative(with_it, gradient(coarse, models[0])[0]) < 1e-5


def test_surveys_of_other_intervals_share_a_run(water):
    every_other = background(TINY.with_interval(2 * TINY.dt_s), reference=RUN)
    assert relative(every_other, water[:, ::2]) < 1e-3


def test_drift_is_that_of_the_klein_gordon_equation():
    drift_s2 = 30.0
    exact, drifted = analytic(DEEP), analytic(DEEP, drift_s2=drift_s2)
    early = slice(0, 90)  # before the layer answers
    got = background(
        DEEP, background_km_s=V_KM_S, reference=Reference(10.0, 1e-3, 350.0, drift_s2=drift_s2)
    ) - background(DEEP, background_km_s=V_KM_S, reference=Reference(10.0, 1e-3, 350.0))
    assert relative(got[:, early], (drifted - exact)[:, early]) < 0.1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            dict(background=np.zeros((2, 3, 5), np.float32)),
            r"shape \(2, 3, 5\); the survey's gathers are \(2, 176, 5\)",
        ),
        (dict(reference=None), "needs a reference"),
        (dict(boundary="cpml"), "the damping layer"),
    ],
)
def test_refused(options, said, water):
    with pytest.raises(UserError, match=said):
        coarse(model(), **{"background": water, **options})


def test_a_background_with_receivers_below_the_section_is_refused():
    survey = dataclasses.replace(TINY, receiver_z_m=4000.0)
    with pytest.raises(UserError, match=r"survey.receiver_z_m = 4000 m lies in the absorbing layer"):
        background(survey, reference=RUN)


def test_a_step_too_long_for_the_background_is_refused():
    with pytest.raises(
        UserError, match=r"9 km/s: the reference's step of 1 ms is above the Courant limit of 0\.786 ms"
    ):
        background(TINY, background_km_s=9.0, reference=RUN)


def test_hard_edges_are_stable_at_the_courant_limit():
    # Blocks of 1.5 and 4.5 km/s, whose band-limited slowness would fall far below the lower side.
    fine = dataclasses.replace(TINY, nx=96, nz=120, spacing_m=5.0)
    blocks = np.random.default_rng(0).random((16, 20)) < 0.5
    velocity = np.kron(np.where(blocks, 1.5, 4.5), np.ones((6, 6))).astype(np.float32)
    gathers = simulate(velocity, fine, spacing_m=CELL_M, reference=RUN)
    assert np.isfinite(gathers).all()
    half = fine.nt // 2
    assert np.abs(gathers[:, half:]).max() < np.abs(gathers[:, :half]).max()
