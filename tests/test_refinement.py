"""Refinement: the prior, the solver against dense algebra, a model brought nearer to its data, what is sent back."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from physics_tiny import TINY, model

from jax_inversion import backgrounds
from jax_inversion.data import whiten
from jax_inversion.data.preprocess import PreprocessConfig
from jax_inversion.errors import UserError
from jax_inversion.physics import SimulatorConfig, simulate
from jax_inversion.refinement import Prior, Setting, prior, refine, refine_together, solver
from jax_inversion.refinement.objective import (
    Counting,
    Observed,
    band,
    filtered,
    filtered_transposed,
    plain,
    shared_basis,
)
from jax_inversion.sections import RefineConfig
from jax_inversion.survey import CHALLENGE

SHAPE = (6, 8)  # cells of the correction
SIMULATOR = SimulatorConfig(spacing_m=20.0, reference_spacing_m=20.0, reference_dt_s=1e-3)


def fields(count: int, seed: int = 0) -> np.ndarray:
    """Smooth random corrections of some per cent that grow with depth."""
    rng = np.random.default_rng(seed)
    x, z = np.meshgrid(np.arange(SHAPE[0]), np.arange(SHAPE[1]), indexing="ij")
    waves = [np.cos(np.pi * i * (x + 0.5) / 6) * np.cos(np.pi * j * (z + 0.5) / 8) for i in (0, 1) for j in (0, 1, 2)]
    return 0.04 * np.tensordot(rng.normal(size=(count, len(waves))), np.stack(waves), 1) * z / 8


def setting(**changes) -> Setting:
    settings = RefineConfig(**{"bands_hz": (4.0, 8.0), "steps": 2, "products": 12, "noise": 0.002} | changes)
    return Setting(TINY, PreprocessConfig(dt_s=TINY.dt_s, whiten=True), SIMULATOR, settings)


@pytest.fixture(scope="module")
def learnt() -> Prior:
    return prior.fit(fields(80), 80.0, mirror=True)


@pytest.fixture(scope="module")
def observed():
    """Background, a start, a truth that a correction of the prior's kind makes of it, and the truth's gathers."""
    background = np.array(backgrounds.background(TINY, SIMULATOR))
    start = model()
    start[:, :5] = TINY.v_min_km_s
    both = jnp.asarray(fields(2, 9).reshape(-1), jnp.float32)
    truth = np.asarray(solver.refined(start, jnp.eye(48), both, SHAPE, TINY))
    return background, start, truth, np.asarray(simulate(truth, TINY, background=background, **SIMULATOR.options))


def test_the_prior_is_the_errors_covariance_as_far_as_there_are_samples(learnt, tmp_path):
    many = prior.covariance(fields(4000, 1), mirror=True)
    found = learnt.factor @ learnt.factor.T
    assert np.linalg.norm(found - many) < 0.35 * np.linalg.norm(many)
    assert np.linalg.matrix_rank(found.astype(np.float64)) == found.shape[0]
    prior.save(learnt, tmp_path / "prior.npz", {"of": 1})
    kept = prior.load(tmp_path / "prior.npz", {"of": 1})
    assert kept is not None and kept.shape == SHAPE
    np.testing.assert_array_equal(kept.factor, learnt.factor)
    assert prior.load(tmp_path / "prior.npz", {"of": 2}) is None
    (tmp_path / "prior.npz").write_bytes((tmp_path / "prior.npz").read_bytes()[:-100])
    assert prior.load(tmp_path / "prior.npz", {"of": 1}) is None
    with pytest.raises(UserError, match="15 samples are too few"):
        prior.fit(fields(15), 80.0, mirror=True)


def test_lanczos_vectors_solve_and_know_what_data_leave_open():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(12, 12)).astype(np.float32)
    matrix, start = jnp.asarray(root @ root.T), jnp.asarray(rng.normal(size=12).astype(np.float32))
    vectors, tridiagonal = solver.lanczos(lambda p: matrix @ p, start, 12, 12)
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(12), atol=1e-4)
    inner = solver.first_column(tridiagonal, 12) * jnp.linalg.norm(start)
    np.testing.assert_allclose(vectors.T @ inner, np.linalg.solve(matrix + np.eye(12), start), rtol=2e-2, atol=1e-3)


def test_the_deviation_is_what_data_leave_open_of_the_prior():
    """Against dense algebra, where corrections are so small that the model follows them in proportion."""
    rng = np.random.default_rng(3)
    root, size = rng.normal(size=(24, 24)).astype(np.float32), 1e-3
    matrix, wide = jnp.asarray(root @ root.T), dataclasses.replace(TINY, v_min_km_s=0.1, v_max_km_s=9.0)
    vectors, tridiagonal = solver.lanczos(lambda p: matrix @ p, jnp.asarray(root[0]), 24, 24)
    start, fixed = jnp.full((3, 4), 2.0), {"shape": (3, 4), "survey": wide}
    factor = jnp.asarray(size * np.eye(12), jnp.float32)
    nothing = solver.nothing(factor)
    prior_alone, found = (
        solver.deviation(start, factor, nothing, *known, **fixed)
        for known in ((nothing[None], jnp.zeros((1, 1))), (vectors, tridiagonal))
    )
    slopes = np.asarray(jax.jacobian(lambda w: solver.refined(start, factor, w, (3, 4), wide).ravel())(nothing))
    for given, covariance in (
        (prior_alone, np.eye(24)),
        (found, np.linalg.inv(np.asarray(matrix, np.float64) + np.eye(24))),
    ):
        exact = np.sqrt(np.diag(slopes @ covariance @ slopes.T))
        np.testing.assert_allclose(np.ravel(given), exact, rtol=0.35)  # 64 draws: 9 % each
        assert np.mean(np.ravel(given) / exact) == pytest.approx(1, abs=0.1)


def test_the_same_again_gives_the_same_bits(learnt, observed):
    background, start, _, gathers = observed
    first, *others = (refine(start, gathers, background, learnt, setting()) for _ in range(8))
    for other in others:  # every other one differed while steps read an array that was changed in place
        np.testing.assert_array_equal(other.velocity_km_s, first.velocity_km_s)
        assert other.end == first.end


def test_fewer_lanczos_vectors_are_a_shorter_step_downhill():
    rng = np.random.default_rng(4)
    root = rng.normal(size=(12, 12)).astype(np.float32)
    matrix, start = jnp.asarray(root @ root.T), jnp.asarray(rng.normal(size=12).astype(np.float32))
    few, all_of_them = (solver.lanczos(lambda p: matrix @ p, start, 12, count) for count in (5, 12))
    np.testing.assert_array_equal(few[0][5:], 0)
    steps = []
    for count in (12, 6, 3, 1):
        inner = solver.first_column(all_of_them[1], count) * jnp.linalg.norm(start)
        np.testing.assert_array_equal(inner[count:], 0)
        steps.append(all_of_them[0].T @ inner)
        assert steps[-1] @ start > 0
    sizes = [float(jnp.linalg.norm(step)) for step in steps]
    assert sizes == sorted(sizes, reverse=True)
    np.testing.assert_allclose(
        few[0].T @ (solver.first_column(few[1], 3)), steps[2] / jnp.linalg.norm(start), atol=1e-5
    )
    # Rounding that makes a value negative does not turn the step round.
    spoilt = all_of_them[1] - 3 * jnp.eye(12)
    inner = solver.first_column(spoilt, 12) * jnp.linalg.norm(start)
    assert (all_of_them[0].T @ inner) @ start > 0


def test_lower_bands_get_fewer_products():
    assert RefineConfig(bands_hz=(4.0, 8.0, 15.0, 25.0), products=90).band_products == [15, 29, 54, 90]
    assert RefineConfig(bands_hz=(6.0,), products=4).band_products == [4]


def test_a_correction_brings_the_model_nearer_to_the_truth(learnt, observed):
    background, start, truth, gathers = observed
    found = refine(start, gathers, background, learnt, setting())
    before, after = (np.abs(v / truth - 1).mean() for v in (start, found.velocity_km_s))
    assert found.scale > 0 and not found.reason
    assert after < 0.5 * before
    assert found.end.held_out < 0.2 * found.start.held_out
    back = refine(start, np.full_like(gathers, np.nan), background, learnt, setting())
    assert found.deviation_km_s.mean() < 0.95 * back.deviation_km_s.mean()  # which is the prior's


def test_what_cannot_be_refined_comes_back_as_it_was(learnt, observed):
    background, start, _, gathers = observed
    nothing = gathers.copy()
    nothing[0, 3, 1] = np.nan
    other = np.asarray(simulate(model(7), TINY, background=background, **SIMULATOR.options))
    # a prior that knows corrections only where nothing is wrong, and believes in huge ones
    sabotaged = dataclasses.replace(learnt, factor=np.diag(np.tile([3.0, *[1e-6] * 7], 6)).astype(np.float32))
    for said, traces, belief, changes in (
        ("not all values are finite", nothing, learnt, {}),
        ("unlike what was trained on", other, learnt, {"most_misfit": 0.3}),
        ("no correction brings the held-out shot nearer", gathers, sabotaged, {}),
    ):
        found = refine(start, traces, background, belief, setting(**changes))
        if said.startswith("no correction") and found.scale:
            assert found.end.held_out < found.start.held_out  # or it is nearer to data that were not fitted
            continue
        assert said in found.reason and found.scale == 0
        np.testing.assert_array_equal(found.velocity_km_s, start)


def test_samples_side_by_side_are_refined_as_each_alone(learnt, observed):
    background, start, _, gathers = observed
    nothing = np.full_like(gathers, np.nan)
    other = np.asarray(simulate(model(7), TINY, background=background, **SIMULATOR.options))
    each = np.stack([gathers, nothing, other, gathers * 1.001])
    settings = setting(most_misfit=0.3)
    found = refine_together(np.stack([start] * 4), each, background, learnt, settings)
    for traces, together in zip(each, found, strict=True):
        alone = refine(start, traces, background, learnt, settings)
        assert (together.scale, together.steps, together.reason) == (alone.scale, alone.steps, alone.reason)
        np.testing.assert_allclose(together.velocity_km_s, alone.velocity_km_s, rtol=2e-3)
        np.testing.assert_allclose(together.deviation_km_s, alone.deviation_km_s, rtol=5e-2, atol=2e-3)
    assert [bool(one.scale) for one in found] == [True, False, False, True]


def test_a_survey_without_a_background_is_refined_too(learnt, observed):
    """As on land: the equation itself, a layer that absorbs, and usual gathers in the place of the background's."""
    _, start, truth, _ = observed
    land = dataclasses.replace(
        setting(), simulator=SimulatorConfig(spacing_m=20.0, exact=True, boundary="cpml", background_km_s="none")
    )
    gathers = np.asarray(simulate(truth, TINY, **land.simulator.options))
    usual = np.asarray(simulate(np.full_like(truth, TINY.v_min_km_s), TINY, **land.simulator.options))
    found = refine(start, gathers, usual, learnt, land)
    assert found.scale > 0 and found.end.held_out < 0.5 * found.start.held_out
    assert np.abs(found.velocity_km_s - truth).mean() < 0.8 * np.abs(start - truth).mean()


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(UserError, match="bands_hz"):
        RefineConfig(bands_hz=(8.0, 4.0))
    assert setting(hold_out=1).held_out == 0 and setting().held_out == 1
    assert jax.default_backend() == "cpu"


@pytest.mark.parametrize(("level", "low"), [(0.0, False), (0.03, False), (0.1, False), (0.1, True)])
def test_noise_that_was_recorded_is_seen_before_anything_arrives(level, low):
    survey, rng, share = CHALLENGE.with_interval(4e-3), np.random.default_rng(0), 0.05
    spectrum = np.maximum(whiten.wavelet_spectrum(survey), 0.03)

    def drawn(operator):
        return np.einsum("ij,sjr->sir", operator, rng.normal(size=survey.gathers_shape))

    wave = whiten.operator(survey, 1 / spectrum, 1e-9, 1e6, 0.0)  # flat once it is whitened
    arrived = ~whiten.before_arrivals(survey)
    signal = drawn(wave) * arrived
    noise = drawn(whiten.operator(survey, np.ones_like(spectrum), 1.0, 4.0 if low else 1e6, 0.0))
    noise *= level * signal.std() / noise.std()
    nothing = np.zeros(survey.gathers_shape, np.float32)
    seen = Observed(np.zeros((1, 1), np.float32), signal + noise, nothing, np.ones(survey.shots))
    found = band(survey, seen, PreprocessConfig(dt_s=4e-3, whiten=True), 15.0, share, 0.0)

    def variance(traces):
        return float(np.mean(np.square(np.einsum("ij,sjr->sir", found.operator, traces))))

    true = variance(noise + share * drawn(wave) * arrived)
    ratio = 1 / found.precision / Counting(survey, 15.0).alike / true  # above one: the share is of noise and signal
    assert (0.4 if low else 0.85) < ratio < 1.5
    assert found.noise**2 * variance(signal + noise) == pytest.approx(ratio * true, rel=1e-3)


def test_noise_that_receivers_share_is_weighed_as_such():
    survey, rng, share, corner_hz, high_hz = CHALLENGE.with_interval(4e-3), np.random.default_rng(0), 0.01, 20.0, 15.0
    settings, nothing = PreprocessConfig(dt_s=4e-3, whiten=True, gain_power=0.0), np.zeros(survey.gathers_shape)
    spectrum, hz = np.maximum(whiten.wavelet_spectrum(survey), 0.03), whiten.frequencies_hz(survey)
    wave = whiten.operator(survey, 1 / spectrum, 1e-9, 1e6, 0.0)  # flat once it is whitened
    slow = whiten.operator(survey, np.maximum(hz, 0.25) / corner_hz / spectrum, 1e-9, 1e6, 0.0)
    signal, own = (np.einsum("ij,sjr->sir", wave, rng.normal(size=survey.gathers_shape)) for _ in range(2))
    signal, basis = signal * ~whiten.before_arrivals(survey), shared_basis(survey)
    parts = rng.normal(size=(survey.shots, survey.nt, 3)) * np.sqrt(survey.receivers / 3)
    noise = share * (own + np.einsum("ij,sjk,rk->sir", slow, parts, basis))
    observed = Observed(np.zeros((1, 1), np.float32), signal, nothing, np.ones(survey.shots))
    found = band(survey, observed, settings, high_hz, share, corner_hz)
    seen = np.asarray(filtered(found, noise.astype(np.float32)))[:, 60:-60]  # a long wave is cut at the record's ends
    common = np.einsum("sir,rk->sik", seen, basis)
    rest = seen - np.einsum("sik,rk->sir", common, basis)
    of_one = rest.size * (1 - 3 / survey.receivers)
    trusted = np.square(rest).sum() / of_one
    assert 0.5 < np.square(common).mean() / trusted < 2  # 50 and more where it is weighed as each trace's own

    weighed = filtered(found, signal.astype(np.float32)), filtered_transposed(found, noise.astype(np.float32))
    ahead, back = (float(np.vdot(a, b)) for a, b in zip(weighed, (noise, signal), strict=True))
    assert ahead == pytest.approx(back, rel=1e-4)
    assert (
        np.square(np.asarray(filtered(plain(survey, settings, high_hz), noise.astype(np.float32)))).mean()
        > 10 * np.square(seen).mean()
    )
