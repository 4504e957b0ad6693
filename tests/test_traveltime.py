"""The network in two-way time: starts at its base, keeps the bounds, predicts on any cells; moveout of traces."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_inversion.errors import UserError
from jax_inversion.models import moveout
from jax_inversion.models.sequence import depthwise, rotate
from jax_inversion.models.traveltime import TraveltimeConfig
from jax_inversion.survey import CHALLENGE

SURVEY = dataclasses.replace(
    CHALLENGE.with_interval(8e-3), nx=60, nz=240, nt=40, source_x_m=(0.0, 59.0), receiver_x_m=(0.0, 30.0, 60.0)
)  # fmt: skip
DELAY_S = 1 / SURVEY.peak_hz
SHAPE = TraveltimeConfig(columns=4, width=16, heads=2, layers=1, expansion=2)
MODEL = SHAPE.build(SURVEY).clone(model_shape=(12, 48))


GATHERS = np.random.default_rng(0).normal(size=(2, *SURVEY.gathers_shape)).astype(np.float32)


def profile(nx=12, nz=48):
    """Water above 2 km/s and more: (2, nx, nz), the second one faster."""
    one = np.where(np.arange(nz) < nz // 6, 1.5, np.linspace(2.0, 3.0, nz))
    two = np.broadcast_to(np.stack([one, np.minimum(1.2 * one, 4.5)])[:, None], (2, nx, nz))
    return two.astype(np.float32)


@functools.cache
def applied(model):
    """Jitted, for operation by operation the same takes ten times longer, and once for all tests."""
    return jax.jit(lambda variables, base: model.apply(variables, GATHERS, None, base))


def apply(model, variables, base):
    return np.asarray(applied(model)(variables, base))


@pytest.fixture(scope="module")
def variables():
    return jax.jit(MODEL.init)(jax.random.key(1), GATHERS, None, profile())


def perturbed(variables, size):
    """The head's weights are zero at the start; here they are not."""
    head = variables["params"]["correction"]
    noise = size * jax.random.normal(jax.random.key(2), head["kernel"].shape)
    params = variables["params"] | {"correction": head | {"kernel": noise}}
    return {"params": params}


def test_it_starts_at_the_base(variables):
    out = apply(MODEL, variables, profile())
    assert out.shape == (2, 12, 48) and out.dtype == jnp.float32
    error = np.abs(out - profile()) / profile()
    assert error.mean() < 0.01
    np.testing.assert_allclose(out[:, :, :6], profile()[:, :, :6], rtol=1e-5)


def test_without_a_base_it_starts_at_a_profile_that_rises(variables):
    out = apply(MODEL, variables, None)
    assert (np.diff(out[0, 0]) > -1e-4).all()


def test_bounds_hold_and_finer_cells_have_the_same_means(variables):
    wild = perturbed(variables, 2.0)
    out = apply(MODEL, wild, profile())
    assert out.min() >= SURVEY.v_min_km_s - 1e-4 and out.max() <= SURVEY.v_max_km_s + 1e-4
    assert (out.max(), out.min()) > (4.4, 1.6)
    fine = apply(MODEL.clone(model_shape=(12, 240)), wild, np.repeat(profile(), 5, axis=2))
    np.testing.assert_allclose(fine.reshape(2, 12, 48, 5).mean(3), out, rtol=2e-3)


def test_training_gives_log_velocity_in_time_and_finite_gradients(variables):
    def loss(params):
        out, more = MODEL.apply({"params": params}, GATHERS, None, profile(), train=True, mutable=["in_time"])
        in_time = more["in_time"]["log_velocity"][0]
        truth, cover = MODEL.in_time(profile())
        assert in_time.shape == truth.shape == cover.shape == (2, 4, 48)
        return jnp.abs(out - 2.0).mean() + (jnp.abs(in_time - truth) * cover).mean()

    gradients = jax.jit(jax.grad(loss))(perturbed(variables, 0.1)["params"])
    assert all(jnp.isfinite(leaf).all() and leaf.any() for leaf in jax.tree.leaves(gradients))


def test_what_the_base_leaves_of_the_gathers_is_seen_and_at_first_ignored(variables):
    looking = dataclasses.replace(SHAPE, residual=True).build(SURVEY).clone(model_shape=(12, 48))
    more = looking.init(jax.random.key(1), GATHERS, None, profile(), GATHERS)
    new = more["params"].pop("residual_embedding")
    assert not new["kernel"].any()
    assert jax.tree.structure(more) == jax.tree.structure(variables)
    head = perturbed(variables, 0.5)["params"]
    plain = apply(MODEL, {"params": head}, profile())
    see = jax.jit(lambda kernel, left: looking.apply(
        {"params": head | {"residual_embedding": {"kernel": kernel}}}, GATHERS, None, profile(), left
    ))  # fmt: skip
    np.testing.assert_allclose(see(new["kernel"], GATHERS), plain, atol=1e-3)
    kernel = 0.1 * jax.random.normal(jax.random.key(4), new["kernel"].shape)
    np.testing.assert_allclose(see(kernel, 0 * GATHERS), plain, atol=1e-3)
    assert np.abs(see(kernel, GATHERS) - plain).max() > 0.01


def test_bfloat16_inside_float32_out(variables):
    head = perturbed(variables, 0.1)
    out = apply(MODEL.clone(dtype="bfloat16"), head, profile())
    assert out.dtype == jnp.float32
    np.testing.assert_allclose(out, apply(MODEL, head, profile()), rtol=0.05)


def test_a_reflection_is_moved_to_its_two_way_time():
    times_s = np.arange(0.0, 0.15, 0.001)
    arrivals = moveout.arrivals_s(SURVEY, times_s, DELAY_S)
    at_s = np.arange(SURVEY.nt) * SURVEY.dt_s
    target = 100
    data = np.exp(-(((at_s[None, None, :] - arrivals[target][:, :, None]) / 0.02) ** 2)).astype(np.float32)
    move_out = jax.jit(MODEL.clone(token_s=0.016, input_s=0.004).move_out)
    moved = move_out(np.swapaxes(data, 1, 2)[None])
    rows = np.asarray(moved).reshape(-1, SURVEY.shots * SURVEY.receivers)
    centres_s = (np.arange(len(rows)) + 0.5) * 0.004
    assert np.abs(centres_s[rows.argmax(0)] - times_s[target]).max() <= 0.006


def test_the_depthwise_convolution_is_the_librarys_and_so_is_its_gradient():
    x, cotangent = (jax.random.normal(jax.random.key(k), (2, 11, 6)) for k in range(2))
    taps = jax.random.normal(jax.random.key(2), (5, 6))

    def library(x, taps):
        axes = ("NWC", "WIO", "NWC")
        return jax.lax.conv_general_dilated(
            x, taps[:, None], (1,), "SAME", dimension_numbers=axes, feature_group_count=6, precision="highest"
        )

    @jax.jit
    def both(x, taps):
        return [(value, *back(cotangent)) for value, back in (jax.vjp(f, x, taps) for f in (depthwise, library))]

    for found, right in zip(*both(x, taps), strict=True):
        np.testing.assert_allclose(found, right, atol=2e-5)


def test_rotary_products_depend_on_the_distance_only():
    vectors = jax.random.normal(jax.random.key(0), (1, 1, 1, 8))
    turned = np.asarray(jax.jit(rotate)(jnp.broadcast_to(vectors, (1, 6, 1, 8))))[0, :, 0]
    products = turned @ turned.T
    np.testing.assert_allclose(np.diagonal(products, 2), np.full(4, products[0, 2]), rtol=1e-5)


def test_settings_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="width 20 is not"):
        dataclasses.replace(SHAPE, width=20, heads=4)
    with pytest.raises(UserError, match="head_s"):
        dataclasses.replace(SHAPE, head_s=0.012)
