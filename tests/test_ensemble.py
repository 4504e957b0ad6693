import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_inversion import ensemble, losses
from jax_inversion.models import InversionConfig
from jax_inversion.start import Start
from jax_inversion.survey import CHALLENGE

SURVEY = dataclasses.replace(
    CHALLENGE, nx=10, nz=17, spacing_m=20.0, source_x_m=(0.0, 180.0), receiver_x_m=(0.0, 90.0, 180.0)
)
MODEL = InversionConfig(
    embedding=8, heads=2, layers=1, dropout=0.2, channels=(4,), stem_patch=(4, 1), token_grid=(2, 2),
    cross_source_layers=1, upsampling=(4,),
).build(SURVEY)  # fmt: skip
SOURCE_X = np.array([0.0, 1.0], np.float32)
GATHERS = jax.random.normal(jax.random.key(1), (3, 2, 2, 17, 3))  # (member, batch, shot, time, receiver)
BASE = jax.random.uniform(jax.random.key(2), (3, 2, 10, 17), minval=1.5, maxval=4.5)


# These compute little: compiling them without optimisation takes a quarter of the time.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
GROUPS = [ensemble.Group("free", MODEL, 3), ensemble.Group("corrects", MODEL.clone(dropout=0.0), 1, "profile")]
init = jit(lambda key: ensemble.init(GROUPS, key, GATHERS[0], SOURCE_X, {"profile": Start(BASE[0])}))


def trained(network, gathers, key):
    velocity, changed = ensemble.apply_in_training(GROUPS[0], network, gathers, SOURCE_X, jax.random.split(key, 3))
    return velocity, changed["batch_stats"]


train = jit(trained)
predict = jit(lambda v, gathers: ensemble.predict(GROUPS, v, gathers, SOURCE_X, {"profile": Start(BASE[0])}))


@pytest.fixture(scope="module")
def variables():
    return init(jax.random.key(0))


def network(variables, name="free"):
    return {kind: variables[kind][name] for kind in ("params", "batch_stats")}


def member(variables, k):
    return jax.tree.map(lambda x: x[k], network(variables))


def test_members_start_different_equally_weighted_and_again_the_same(variables):
    kernels = {name: params["encoder"]["stem"]["kernel"] for name, params in variables["params"].items()}
    assert {name: len(kernel) for name, kernel in kernels.items()} == {"free": 3, "corrects": 1}
    first, second, _ = kernels["free"]
    assert not np.allclose(first, second) and not np.allclose(first, kernels["corrects"][0])
    np.testing.assert_array_equal(variables["logits"], np.zeros(4, np.float32))
    assert ensemble.parts(GROUPS) == {"free": slice(0, 3), "corrects": slice(3, 4)}
    jax.tree.map(np.testing.assert_array_equal, variables, init(jax.random.key(0)))


def test_predict_equals_a_loop_over_members_and_groups(variables):
    alone = jit(lambda v: MODEL.apply(v, GATHERS[0], SOURCE_X))
    velocity = predict(variables, GATHERS[0])
    assert velocity.shape == (4, 2, 10, 17)
    np.testing.assert_allclose(velocity[:3], np.stack([alone(member(variables, k)) for k in range(3)]), rtol=1e-5)
    np.testing.assert_array_equal(velocity[3], BASE[0])  # untrained, the networks are their base


def test_training_equals_a_loop_over_members_with_keys_of_their_own(variables):
    @jit
    def alone(v, gathers, key):
        return MODEL.apply(v, gathers, SOURCE_X, train=True, rngs={"dropout": key}, mutable=["batch_stats"])

    key = jax.random.key(7)
    velocity, stats = train(network(variables), GATHERS, key)
    for k, own in enumerate(jax.random.split(key, 3)):
        expected, changed = alone(member(variables, k), GATHERS[k], own)
        np.testing.assert_allclose(velocity[k], expected, rtol=1e-4)
        jax.tree.map(lambda a, b, k=k: np.testing.assert_allclose(a[k], b, atol=1e-5), stats, changed["batch_stats"])


def test_members_are_independent(variables):
    @jit
    def slope(params):
        def loss_of_first(params):
            own = network(variables) | {"params": params}
            keys = jax.random.split(jax.random.key(0), 3)
            velocity, _ = ensemble.apply_in_training(GROUPS[0], own, GATHERS, SOURCE_X, keys)
            return (velocity[0] ** 2).mean()

        return jax.grad(loss_of_first)(params)

    for leaf in jax.tree.leaves(slope(variables["params"]["free"])):
        assert np.abs(leaf[0]).max() > 0
        np.testing.assert_array_equal(leaf[1:], 0)


def test_weights_are_positive_and_sum_to_one():
    weights = ensemble.weights(jnp.array([0.0, 1.0, -3.0]))
    assert weights.min() > 0
    assert weights.sum() == pytest.approx(1)


def test_combine_by_hand():
    velocity = jnp.stack([jnp.full((1, 2, 2), v) for v in (1.0, 2.0, 4.0)])
    np.testing.assert_allclose(ensemble.combine(velocity, jnp.zeros(3)), np.full((1, 2, 2), 7 / 3), rtol=1e-6)
    logits = jnp.log(jnp.array([1.0, 1.0, 2.0]))  # weights 1/4, 1/4, 1/2
    np.testing.assert_allclose(ensemble.combine(velocity, logits), np.full((1, 2, 2), 2.75), rtol=1e-6)


def test_weights_learn_and_leave_the_members_alone():
    true = jnp.full((1, 2, 2), 4.0)
    velocity = jnp.stack([true - 1, true])
    loss = ensemble.weight_loss(jnp.zeros(2), velocity, true, losses.l2)
    assert loss == pytest.approx(0.25)
    to_weights, to_members = jax.grad(ensemble.weight_loss, argnums=(0, 1))(jnp.zeros(2), velocity, true, losses.l2)
    # (w0 (-1))^2 with w0 = 1/2: d/dw0 = 2 w0 = 1, dw0/dlogit0 = 1/4
    np.testing.assert_allclose(to_weights, [0.25, -0.25], rtol=1e-6)
    np.testing.assert_array_equal(to_members, 0)
