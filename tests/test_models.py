"""Shapes and parameter counts of the full preset without computing anything; the rest at toy sizes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_inversion.errors import UserError
from jax_inversion.models import InversionConfig
from jax_inversion.models.attention import attention
from jax_inversion.models.convolution import BLOCK, MultiScaleConv, banded_products, by_size, convolution, runs
from jax_inversion.models.patches import from_patches, to_patches
from jax_inversion.survey import CHALLENGE

SMALL = dataclasses.replace(
    CHALLENGE, nx=20, nz=33, spacing_m=10.0, source_x_m=(0.0, 90.0, 190.0), receiver_x_m=(0.0, 60.0, 120.0, 190.0),
)  # fmt: skip
FIELDS = {
    "embedding": 16, "heads": 2, "layers": 1, "dropout": 0.1, "channels": (4, 8), "stem_patch": (4, 1),
    "token_grid": (4, 2), "cross_source_layers": 1, "upsampling": (8, 4),
}  # fmt: skip
SOURCE_X = np.array([0.0, 0.5, 1.0], np.float32)
GATHERS = jax.random.normal(jax.random.key(1), (2, 3, 41, 4))
BASE = jax.random.uniform(jax.random.key(2), (2, 20, 33), minval=1.5, maxval=4.5)


# These compute little: compiling them without optimisation takes a quarter of the time.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def start(with_base=False):
    """A model, its variables and its jitted ``apply``; shared by the tests, which leave them as they are."""
    model = InversionConfig(**FIELDS).build(SMALL)
    variables = jit(model.init)(jax.random.key(0), GATHERS, SOURCE_X, BASE if with_base else None)
    return model, variables, jit(model.apply)


def changed(variables, name, change):
    """``variables`` with ``change`` applied to the decoder's layer ``name``."""
    decoder = variables["params"]["decoder"]
    params = variables["params"] | {"decoder": decoder | {name: change(decoder[name])}}
    return variables | {"params": params}


# ---- the full preset


@pytest.mark.parametrize(
    ("samples", "dtype", "with_base"), [(10001, "float32", False), (1001, "bfloat16", False), (1001, "float32", True)]
)
def test_full_preset_shapes_and_parameter_count(samples, dtype, with_base):
    model = InversionConfig(dtype=dtype, remat=with_base).build(CHALLENGE)
    gathers, source_x = jax.ShapeDtypeStruct((4, 5, samples, 31), jnp.float32), jnp.zeros(5)
    base = jax.ShapeDtypeStruct((4, 300, 1259), jnp.float32) if with_base else None
    variables = jax.eval_shape(model.init, jax.random.key(0), gathers, source_x, base)

    def train(variables, gathers, base):
        rngs = {"dropout": jax.random.key(0)}
        return model.apply(variables, gathers, source_x, base, train=True, rngs=rngs, mutable=["batch_stats"])

    velocity, updates = jax.eval_shape(train, variables, gathers, base)
    assert (velocity.shape, velocity.dtype) == ((4, 300, 1259), jnp.float32)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    assert jax.tree.map(lambda x: x.shape, updates["batch_stats"]) == jax.tree.map(
        lambda x: x.shape, variables["batch_stats"]
    )
    # The base adds its embedding: 8 x 4 values and a bias to each of 512.
    count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert count == 29_697_953 + (33 * 512 if with_base else 0)


def test_full_preset_has_the_originals_numbers():
    model = InversionConfig().build(CHALLENGE)
    assert (model.embedding, model.heads, model.layers, model.dropout) == (512, 8, 6, 0.1)


# ---- the whole model at a toy size


@pytest.mark.parametrize(("output", "low", "high"), [("softplus", 0.0, np.inf), ("bounded", 1.5, 4.5)])
def test_outputs_start_near_the_bounds_geometric_mean_and_keep_their_range(output, low, high):
    model, variables, apply = start()
    if output != model.output:
        apply = jit(model.clone(output=output).apply)
    velocity = apply(variables, GATHERS, SOURCE_X)
    assert velocity.shape == (2, 20, 33)
    assert abs(float(velocity.mean()) - (1.5 * 4.5) ** 0.5) < 0.1
    wild = changed(variables, "velocity", lambda head: jax.tree.map(lambda x: 3000 * x, head))
    velocity = apply(wild, GATHERS, SOURCE_X)
    assert velocity.min() >= low - 1e-6 and velocity.max() <= high + 1e-5
    assert velocity.std() > 0.5


def test_starts_at_the_base_exactly_and_can_leave_it():
    _, variables, apply = start(with_base=True)
    np.testing.assert_array_equal(apply(variables, GATHERS, SOURCE_X, BASE), BASE)
    raised = changed(variables, "correction", lambda head: head | {"bias": head["bias"] + jnp.log(1.1)})
    np.testing.assert_allclose(apply(raised, GATHERS, SOURCE_X, BASE), 1.1 * BASE, rtol=1e-5)


def test_the_base_conditions_the_correction():
    _, variables, apply = start(with_base=True)
    awake = changed(variables, "correction", lambda head: head | {"kernel": head["kernel"].at[0].add(1.0)})
    ratios = [apply(awake, GATHERS, SOURCE_X, base) / base for base in (BASE, BASE[:, ::-1])]
    assert np.abs(ratios[0] - ratios[1]).max() > 1e-3


def test_every_parameter_learns():
    model, variables, _ = start(with_base=True)
    # Behind a last layer of zeros nothing else learns in the first step.
    variables = changed(variables, "correction", lambda head: head | {"kernel": head["kernel"] + 0.1})

    @jit
    def slope(params):
        def loss(params):
            network, rngs = variables | {"params": params}, {"dropout": jax.random.key(0)}
            velocity, _ = model.apply(network, GATHERS, SOURCE_X, BASE, True, rngs=rngs, mutable=["batch_stats"])
            return ((velocity - BASE[:, ::-1]) ** 2).mean()

        return jax.grad(loss)(params)

    for path, leaf in jax.tree_util.tree_leaves_with_path(slope(variables["params"])):
        assert np.isfinite(leaf).all() and np.abs(leaf).max() > 0, jax.tree_util.keystr(path)


def test_source_positions_and_shot_order_matter_and_samples_do_not_mix():
    _, variables, apply = start()
    velocity = apply(variables, GATHERS, SOURCE_X)
    assert np.abs(velocity - apply(variables, GATHERS, SOURCE_X[::-1])).max() > 1e-5
    assert np.abs(velocity - apply(variables, GATHERS[:, ::-1], SOURCE_X)).max() > 1e-5
    np.testing.assert_allclose(velocity[::-1], apply(variables, GATHERS[::-1], SOURCE_X), atol=1e-5)


def test_training_moves_the_statistics_and_draws_dropout():
    model, variables, _ = start()

    @jit
    def train(seed):
        rngs = {"dropout": jax.random.key(seed)}
        return model.apply(variables, GATHERS, SOURCE_X, train=True, rngs=rngs, mutable=["batch_stats"])

    (first, updates), (second, _), (again, _) = train(0), train(1), train(0)
    assert np.abs(first - second).max() > 0
    np.testing.assert_array_equal(first, again)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), updates["batch_stats"], variables["batch_stats"])
    assert all(jax.tree.leaves(moved))


def test_bfloat16_is_near_float32_and_remat_is_equal():
    _, variables, apply = start()
    velocity = apply(variables, GATHERS, SOURCE_X)
    for changes, tolerance in (({"dtype": "bfloat16"}, 0.02), ({"remat": True}, 1e-5)):
        model = InversionConfig(**FIELDS | changes).build(SMALL)
        other = jit(model.apply)(variables, GATHERS, SOURCE_X)
        assert other.dtype == jnp.float32
        np.testing.assert_allclose(other, velocity, rtol=tolerance)


def test_bad_fields_are_the_users():
    with pytest.raises(UserError, match=r"model\.embedding 16 is not a multiple of model\.heads 3"):
        InversionConfig(**FIELDS | {"heads": 3})
    with pytest.raises(UserError, match=r"model\.channels"):
        InversionConfig(**FIELDS | {"channels": ()})


# ---- the parts


@pytest.mark.parametrize(("height", "width", "size"), [(1, 1, 7), (9, BLOCK + 1, 3), (5, 31, 7)])
def test_banded_products_are_the_convolution(height, width, size):
    x = jax.random.normal(jax.random.key(height), (2, height, width, 3))
    kernel = jax.random.normal(jax.random.key(width), (size, size, 3, 4))
    np.testing.assert_allclose(jit(banded_products)(x, kernel), jit(convolution)(x, kernel), atol=1e-4)


def test_multi_scale_conv_is_its_branches_side_by_side():
    x = jax.random.normal(jax.random.key(0), (2, 9, 8, 3))
    conv = MultiScaleConv(6)  # widths 2, 2, 1, 1
    variables = jit(conv.init)(jax.random.key(1), x)
    parts = [convolution(x, variables["params"][f"kernel_{k}"]) for k in (1, 3, 5, 7)]
    assert [part.shape[-1] for part in parts] == [2, 2, 1, 1]
    np.testing.assert_allclose(conv.apply(variables, x), jnp.concatenate(parts, axis=-1), atol=1e-5)
    kernels = variables["params"].values()
    np.testing.assert_allclose(by_size(x, *kernels), jnp.concatenate(parts, axis=-1), atol=1e-5)
    assert [[len(k) for k in run] for run in runs(list(kernels))] == [[1], [3], [5, 7]]


def test_attention_by_hand():
    # Equal keys: every query gets the mean of the values. One far larger key: every query gets its value.
    query, value = jnp.ones((1, 2, 1, 4)), jnp.array([1.0, 3.0]).reshape(1, 2, 1, 1)
    np.testing.assert_allclose(attention(query, query, value).ravel(), [2.0, 2.0], rtol=1e-6)
    key = query.at[0, 1].multiply(20)
    np.testing.assert_allclose(attention(query, key, value).ravel(), [3.0, 3.0], rtol=1e-6)


def test_attention_of_bfloat16_multiplies_values_as_such_forward_and_back():
    inputs = [jnp.ones((1, 6, 2, 4), jnp.bfloat16)] * 3

    def loss(*given):
        return attention(*given).astype(jnp.float32).sum()

    text = jax.jit(jax.grad(loss, (0, 1, 2))).lower(*inputs).as_text()
    products = [line for line in text.splitlines() if "dot_general" in line]
    kept = [line for line in products if "xbf16>) -> " in line]
    assert len(products) == 6 and len(kept) == 4  # logits have float32 cotangents


@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (3, 1), (2, 3)])
def test_patches_come_back(rows, columns):
    x = jnp.arange(2 * 6 * 6 * 2.0).reshape(2, 6, 6, 2)
    np.testing.assert_array_equal(from_patches(to_patches(x, rows, columns), rows, columns), x)


def test_patches_know_rows_from_columns():
    x = jnp.arange(6.0).reshape(1, 2, 3, 1)
    np.testing.assert_array_equal(to_patches(x, 2, 1)[0, 0], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(to_patches(x, 1, 2)[0, :, 1], [[2, 0], [5, 0]])  # padded with zeros


def test_convolutions_of_members_are_those_of_each_alone():
    """XLA's own, as other devices than a CPU use it, forward and backward."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 2, 8, 5, 4)).astype(np.float32)
    kernels = rng.standard_normal((3, 3, 3, 4, 6)).astype(np.float32)

    def loss(one):
        return lambda x, kernel: jnp.sum(jnp.sin(one(x, kernel)))

    together = jax.grad(lambda x, k: jax.vmap(loss(convolution))(x, k).sum(), argnums=(0, 1))(x, kernels)
    apart = [jax.grad(loss(banded_products), argnums=(0, 1))(x[i], kernels[i]) for i in range(3)]
    for found, expected in zip(together, zip(*apart, strict=True), strict=True):
        np.testing.assert_allclose(found, np.stack(expected), rtol=1e-4, atol=1e-4)
    shared = jax.vmap(convolution, in_axes=(None, 0))(x[0], kernels)
    np.testing.assert_allclose(shared[1], banded_products(x[0], kernels[1]), rtol=1e-4, atol=1e-4)
