"""Schedule, clipping by member, decay, accumulation, averages; one step and one validation of a tiny model."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_network import tiny_network
from tiny_run import SURVEY, tiny_config

from jax_inversion import ensemble, losses, models
from jax_inversion.data.inputs import Inputs
from jax_inversion.models.inversion import InversionConfig
from jax_inversion.models.traveltime import TraveltimeConfig
from jax_inversion.start import Start
from jax_inversion.training import compiling, optimiser
from jax_inversion.training.assembly import assemble
from jax_inversion.training.step import average, stream

MEMBERS, BATCH = 2, 3
DECIMATED = SURVEY.with_interval(4e-3)


@functools.partial(jax.jit, static_argnums=0)
def update(adamw, gradient, state, params):
    """Updates, state and parameters after ``gradient``; compiled, for operation by operation it takes far longer."""
    updates, state = adamw.update(gradient, state, params)
    return updates, state, optax.apply_updates(params, updates)


def test_schedule_warms_up_and_falls_as_a_cosine():
    rate = optimiser.schedule(1.0, 10, 0.2, 0.0)
    expected = {0: 1 / 3, 1: 2 / 3, 2: 1.0, 4: 0.5 + 0.5 * np.cos(np.pi / 4), 6: 0.5, 10: 0.0}
    for update, value in expected.items():
        assert float(rate(update)) == pytest.approx(value, abs=1e-6)


def test_schedule_without_warm_up_ends_at_the_final_fraction():
    rate = optimiser.schedule(2e-3, 4, 0.0, 0.1)
    assert [float(rate(k)) for k in (0, 2, 4)] == pytest.approx([2e-3, 1.1e-3, 2e-4])


def test_each_member_is_clipped_by_its_own_norm_and_optimised_as_if_alone():
    rate = optimiser.schedule(0.1, 10, 0.0, 0.0)
    params = {"kernel": jnp.ones((2, 3, 4)), "bias": jnp.ones((2, 4))}
    gradients = [jax.tree.map(lambda p, s=s: s * jnp.stack([100 * p[0], 1e-3 * p[1]]), params) for s in (1.0, -0.5)]
    both = optimiser.build("adamw", rate, clip_norm=1.0, weight_decay=0.1)
    state, stepped = both.init(params), params
    for gradient in gradients:
        _, state, stepped = update(both, gradient, state, stepped)
    # the first moment of Adam is 0.9 * 0.1 * clip(g1) + 0.1 * clip(g2): member 0 is clipped to norm 1, member 1 is not
    norms = jax.vmap(optax.tree.norm)(optax.tree.get(state, "mu"))
    np.testing.assert_allclose(norms, [abs(0.09 - 0.1), abs(0.09 - 0.05) * 1e-3 * 4], rtol=1e-4)
    for m in range(2):
        mine = jax.tree.map(lambda p, m=m: p[m : m + 1], params)
        alone = both.init(mine)
        for gradient in gradients:
            _, alone, mine = update(both, jax.tree.map(lambda g, m=m: g[m : m + 1], gradient), alone, mine)
        jax.tree.map(lambda one, all_, m=m: np.testing.assert_allclose(one[0], all_[m], rtol=1e-6), mine, stepped)


def test_weight_decay_spares_biases_and_norms():
    rate = optimiser.schedule(0.5, 10, 0.0, 0.0)
    params = {"kernel": jnp.full((2, 3, 4), 2.0), "bias": jnp.full((2, 4), 2.0)}
    adamw = optimiser.build("adamw", rate, clip_norm=1.0, weight_decay=0.1)
    updates, *_ = update(adamw, jax.tree.map(jnp.zeros_like, params), adamw.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -0.5 * 0.1 * 2.0, rtol=1e-6)
    np.testing.assert_array_equal(updates["bias"], 0.0)


def test_accumulated_gradients_make_the_update_of_their_mean():
    rate = optimiser.schedule(0.1, 10, 0.0, 0.0)
    params = {"kernel": jax.random.normal(jax.random.key(0), (2, 3, 4))}
    small = [{"kernel": jax.random.normal(jax.random.key(k), (2, 3, 4))} for k in range(1, 5)]
    results = []
    for gradients, accumulate in (
        (small, 2),
        ([jax.tree.map(lambda a, b: (a + b) / 2, *p) for p in (small[:2], small[2:])], 1),
    ):
        adamw = optimiser.build("adamw", rate, clip_norm=1.0, weight_decay=0.1, accumulate=accumulate)
        state, stepped = adamw.init(params), params
        for k, gradient in enumerate(gradients):
            updates, state, stepped = update(adamw, gradient, state, stepped)
            if accumulate == 2 and k % 2 == 0:
                np.testing.assert_array_equal(updates["kernel"], 0.0)
        results.append(stepped["kernel"])
    np.testing.assert_allclose(*results, rtol=2e-5)


def test_average_forgets_faster_while_young_and_waits_for_accumulation():
    old, new = {"w": jnp.zeros(2)}, {"w": jnp.ones(2)}
    step = jnp.int32
    np.testing.assert_allclose(average(old, new, step(1), 0.99, 1)["w"], 1 - 2 / 11, rtol=1e-6)
    np.testing.assert_allclose(average(old, new, step(10_000), 0.99, 1)["w"], 0.01, rtol=1e-4)
    np.testing.assert_array_equal(average(old, new, step(3), 0.99, 2)["w"], 0.0)
    np.testing.assert_allclose(average(old, new, step(4), 0.99, 2)["w"], 1 - 3 / 12, rtol=1e-6)
    assert average(None, new, step(1), 0.0, 1) is None


def test_streams_differ_by_name_and_step_and_repeat():
    draw = {
        (name, step): float(jax.random.uniform(stream(0, name, step)))
        for name in ("dropout", "init")
        for step in (0, 1)
    }
    assert len(set(draw.values())) == 4
    assert draw["init", 1] == float(jax.random.uniform(stream(0, "init", 1)))


@pytest.fixture(scope="module")
def parts():
    """With a base, so that one compilation serves all."""
    with tiny_network():
        config = tiny_config(train={"learning_rate": 3e-2, "ema_decay": 0.9})
        yield assemble(config, Inputs(config.preprocess, DECIMATED, 0.01), 40, base_shapes={"kernel": (3, 5)})


@pytest.fixture
def state(parts):
    return jax.jit(parts.initial)()


def a_batch(seed=0):
    rng = np.random.default_rng(seed)
    shape = (MEMBERS, BATCH)
    truth = np.linspace(1.5, 4, SURVEY.nz, dtype=np.float32)
    return {
        "gathers": 0.01 * rng.standard_normal((*shape, *DECIMATED.gathers_shape)).astype(np.float32),
        "velocity": np.broadcast_to(truth, (*shape, *SURVEY.model_shape)),
        "base/kernel": np.full((*shape, 3, 5), 2.0, np.float32),
    }


def test_step_repeats_bit_for_bit_reports_every_term_and_learns(parts, state):
    kept = jax.tree.map(jnp.copy, state)
    first, metrics = parts.step(state, a_batch())
    assert jax.tree.leaves(state.params)[0].is_deleted()  # the step uses up its state
    again, _ = parts.step(kept, a_batch())
    jax.tree.map(np.testing.assert_array_equal, first, again)
    terms = {"loss", "mape", "l2", "gradient", "total_variation", "physics", "grad_norm", "finite"}
    assert metrics.keys() == terms and all(value.shape == (MEMBERS,) for value in metrics.values())
    assert bool(metrics["finite"].all()) and int(first.step) == 1
    assert float(metrics["grad_norm"][0]) != float(metrics["grad_norm"][1])  # members begin and see apart
    state, last = again, metrics
    for _ in range(30):
        state, last = parts.step(state, a_batch())
    assert (last["loss"] < 0.8 * metrics["loss"]).all()


def test_how_it_is_compiled_depends_on_the_network_and_on_what_this_jaxlib_knows(monkeypatch):
    along_time, other = (config.build(DECIMATED) for config in (TraveltimeConfig(), InversionConfig()))
    options = compiling.compiler_options([along_time, along_time])
    product = jax.jit(lambda a: a @ a, compiler_options=options).lower(jnp.ones((64, 64))).compile()
    assert options and "ynn" not in product.as_text()
    assert compiling.compiler_options([along_time, other]) is None
    monkeypatch.setattr(compiling, "WITHOUT_YNNPACK", {"xla_cpu_of_another_version": ""})
    compiling._are_known.cache_clear()
    assert compiling.compiler_options([along_time]) is None
    compiling._are_known.cache_clear()


def test_step_says_which_member_is_not_finite(parts, state):
    batch = a_batch()
    batch["gathers"][1, 2, 0, 3, 1] = np.nan
    _, metrics = parts.step(state, batch)
    assert metrics["finite"].tolist() == [True, False]


def test_validation_scores_real_samples_and_teaches_the_weights_only(parts, state):
    for _ in range(3):  # away from the base, where all members are equal
        state, _ = parts.step(state, a_batch())
    batch = {name: value[0] for name, value in a_batch(1).items()}
    batch["velocity"] = np.concatenate([batch["velocity"][:2], np.ones((1, *SURVEY.model_shape), np.float32)])
    learning = state.logits, state.logits_opt_state
    scores, (logits, _) = parts.validate(state.variables, learning, batch | {"count": np.int32(2)})
    config = tiny_config()
    gathers, bases = (
        jnp.asarray(batch["gathers"] / 0.01),
        {"kernel": Start(jnp.full((BATCH, *SURVEY.model_shape), 2.0))},
    )
    predict = jax.jit(lambda v: ensemble.predict(parts.groups, v, gathers, models.source_x(DECIMATED), bases))
    members, truth = predict(state.variables)[:, :2], jnp.asarray(batch["velocity"][:2])
    mape = jax.jit(losses.mape)
    np.testing.assert_allclose(scores["members"], [float(mape(m, truth)) for m in members], rtol=1e-4)
    np.testing.assert_allclose(scores["mape"], float(mape(members.mean(0), truth)), rtol=1e-4)
    np.testing.assert_allclose(scores["predicted"][:2], members.mean(0), rtol=1e-4)
    total = jax.jit(lambda mean: losses.total(mean, truth, config.loss, SURVEY.v_min_km_s, SURVEY.v_max_km_s))
    loss, terms = total(members.mean(0))
    assert scores.keys() == {*terms, "loss", "members", "groups", "predicted"}
    for name, term in (terms | {"loss": loss}).items():
        np.testing.assert_allclose(scores[name], term, rtol=1e-4, atol=1e-7)
    # the first step of Adam goes its full rate the way the loss falls
    slope = jax.jit(jax.grad(lambda logits: losses.mape(ensemble.combine(members, logits), truth)))(state.logits)
    np.testing.assert_allclose(logits, -0.05 * np.sign(slope), rtol=1e-2)
