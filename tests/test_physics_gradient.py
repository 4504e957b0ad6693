"""The gradient: exact adjoint of the discrete loop, and what the memory policies leave of it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from physics_tiny import CELL_M, TINY, model, relative

from jax_inversion.physics import simulate, stencil
from jax_inversion.physics.layout import Acquisition, Medium
from jax_inversion.physics.leapfrog import heard
from jax_inversion.physics.plan import Plan, acquisition, medium
from jax_inversion.physics.propagator import propagate

run = partial(simulate, survey=TINY, spacing_m=CELL_M)


def plain_loop(medium: Medium, ends: Acquisition, layout):
    """The same equation written the plain way, without windows or custom derivative."""
    damp = medium.damp * layout.step_s / 2
    weights = ends.source_x[:, :, None] * ends.source_z[None, None, :]

    def step(fields, term):
        u, before = fields
        padded = stencil.pad(u, len(layout.taps) - 1, layout.free_surface)
        force = (layout.step_s / layout.spacing_m) ** 2 * (stencil.laplacian(padded, layout.taps) + term * weights)
        after = (2 * medium.m[None] * u - (medium.m - damp)[None] * before + force) / (medium.m + damp)[None]
        return (after, u), heard(after, ends, layout)

    zeros = jnp.zeros((ends.source_x.shape[0], *medium.m.shape), medium.m.dtype)
    return jax.lax.scan(step, (zeros, zeros), ends.terms)[1]


@pytest.mark.parametrize(
    ("memory", "windows", "free_surface"), [("store", True, False), ("recompute", False, True), ("store", False, True)]
)
def test_adjoint_of_the_linearised_loop(memory, windows, free_surface):
    with jax.enable_x64(True):
        plan = Plan(TINY, CELL_M, None, 8, free_surface, True, "damping", windows, True, 0.0, False, memory, True)
        inside = medium(jnp.asarray(model(dtype=np.float64)), plan)
        ends = acquisition(jnp.asarray(plan.ricker[1]), plan)
        rng = np.random.default_rng(0)
        dm = jnp.asarray(rng.normal(size=inside.m.shape)) * inside.m
        dq = jnp.asarray(rng.normal(size=ends.terms.shape))

        @jax.jit
        def linearised(dm, dq):
            def f(m, q):
                return plain_loop(inside._replace(m=m), ends._replace(terms=q), plan.layout)

            return jax.jvp(f, (inside.m, ends.terms), (dm, dq))

        record, change = linearised(dm, dq)
        cotangent = jnp.asarray(rng.normal(size=record.shape))
        again, pull = jax.vjp(lambda m, q: propagate(m, q, plan.layout), inside, ends)
        to_medium, to_ends = pull(cotangent)
        left, right = jnp.vdot(change, cotangent), jnp.vdot(dm, to_medium.m) + jnp.vdot(dq, to_ends.terms)
        if windows:  # cells that no recorded wave visits are left out: exact up to what leaks faster than waves
            assert relative(again, record) < 1e-5
        else:
            assert relative(again, record) < 1e-12
            assert abs(float(left / right) - 1) < 1e-10


def loss(v, target=None, **options):
    gathers = run(v, **options)
    return 500 * jnp.sum((gathers if target is None else gathers - target) ** 2)


@pytest.mark.parametrize("windows", [False, True])
def test_taylor_slopes(windows):
    with jax.enable_x64(True):
        v = jnp.asarray(model(dtype=np.float64))
        direction = jnp.asarray(np.random.default_rng(2).normal(size=v.shape))
        options = dict(windows=windows, keep_every_s=0.0)
        f = jax.jit(jax.vmap(partial(loss, **options)))
        value, gradient = jax.jit(jax.value_and_grad(partial(loss, **options)))(v)
        steps = np.array([1e-2, 3e-3, 1e-3])
        change = f(v[None] + jnp.asarray(steps)[:, None, None] * direction[None]) - value
        rest = change - jnp.asarray(steps) * jnp.vdot(gradient, direction)
    assert 0.9 < np.polyfit(np.log(steps), np.log(np.abs(change)), 1)[0] < 1.1
    assert 1.95 < np.polyfit(np.log(steps), np.log(np.abs(rest)), 1)[0] < 2.05


def test_policies_agree():
    v = jnp.asarray(model())
    gradient = {}
    for name, options in {
        "exact": dict(keep_every_s=0.0),
        "default": {},
        "half": dict(keep_half=True),
        "recompute": dict(memory="recompute"),
    }.items():
        gradient[name] = jax.grad(partial(loss, windows=False, **options))(v)
    assert relative(gradient["default"], gradient["exact"]) < 1e-3
    assert relative(gradient["half"], gradient["exact"]) < 5e-3
    assert relative(gradient["recompute"], gradient["default"]) < 1e-5


def test_wavelet_gradient():
    with jax.enable_x64(True):
        v = jnp.asarray(model(dtype=np.float64))
        rng = np.random.default_rng(3)
        t = np.arange(TINY.nt) * TINY.dt_s
        first, second = (jnp.asarray(np.exp(-(((t - t0) / 0.05) ** 2)) * rng.normal()) for t0 in (0.2, 0.3))
        f = jax.jit(jax.value_and_grad(lambda w: loss(v, wavelet=w, windows=False)))
        value, gradient = f(first)
        # The loss is a quadratic form of the wavelet.
        central = (f(first + second)[0] - f(first - second)[0]) / 2
        np.testing.assert_allclose(central, jnp.vdot(gradient, second), rtol=1e-9)
        np.testing.assert_allclose(jnp.vdot(gradient, first), 2 * value, rtol=1e-9)


def test_gradient_of_the_cpml():
    with jax.enable_x64(True):
        v = jnp.asarray(model(dtype=np.float64))
        direction = jnp.asarray(np.random.default_rng(2).normal(size=v.shape))
        f = jax.jit(jax.value_and_grad(partial(loss, boundary="cpml", order=2)))
        slope = (f(v + 1e-4 * direction)[0] - f(v - 1e-4 * direction)[0]) / 2e-4
        np.testing.assert_allclose(slope, jnp.vdot(f(v)[1], direction), rtol=1e-6)


def test_a_training_step_over_a_batch_and_vmap():
    models, targets = (jnp.stack([jnp.asarray(model(k)) for k in seeds]) for seeds in ((0, 1), (1, 2)))
    calm = partial(loss, windows=False)

    @jax.jit
    def step(v, target):
        value, gradient = jax.value_and_grad(calm)(v, target)
        return v - 0.02 * gradient / jnp.abs(gradient).max(), value, gradient

    target = run(targets, windows=False)
    after, value, gradient = step(models, target)
    assert step(after, target)[1] < value
    mapped = jax.jit(jax.vmap(jax.grad(loss)))(models, target)  # windows too are shared by the mapped members
    assert mapped.dtype == jnp.float32
    assert relative(mapped, gradient) < 1e-4
