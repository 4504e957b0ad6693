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

pytestmark = pytest.mark.usefixtures("few_windows")
run = partial(simulate, survey=TINY, spacing_m=CELL_M)


def plain_loop(medium: Medium, ends: Acquisition, layout):
    """The same equation written the plain way: no windows, a CPML on all cells, no derivative of its own."""
    margin = len(layout.taps) - 1
    damp = medium.damp * layout.step_s / 2
    weights = ends.source_x[:, :, None] * ends.source_z[None, None, :]

    def slope(field, axis):
        sides = [(margin, margin) if k == field.ndim + axis else (0, 0) for k in range(field.ndim)]
        return stencil.slope(jnp.pad(field, sides), axis, margin)

    def everywhere(values, layer):
        cells = np.zeros((medium.m.shape[layer.axis], 1) if layer.axis == -2 else medium.m.shape[-1])
        near = values[: layer.width] if layer.both else ()
        cells[: len(near)] = np.reshape(near, (-1, *cells.shape[1:]))
        cells[-layer.width :] = np.reshape(values[-layer.width :], (-1, *cells.shape[1:]))
        return cells.reshape(1, *(cells.shape if layer.axis == -2 else (1, -1)))

    coefficients = [(layer.axis, everywhere(layer.a, layer), everywhere(layer.b, layer)) for layer in layout.layers]

    def step(fields, term):
        u, before, memory = fields
        total = stencil.laplacian(stencil.pad(u, margin, layout.free_surface), layout.taps)
        remembered = []
        for (psi, zeta), (axis, a, b) in zip(memory, coefficients, strict=True):
            psi = a * psi + b * slope(u, axis)
            sides = [(margin, margin) if k == u.ndim + axis else (0, 0) for k in range(u.ndim)]
            straight = stencil.curvature(jnp.pad(u, sides), axis, layout.taps)
            zeta = a * zeta + b * (straight + slope(psi, axis))
            total += slope(psi, axis) + zeta
            remembered.append((psi, zeta))
        force = (layout.step_s / layout.spacing_m) ** 2 * (total + term * weights)
        after = (2 * medium.m[None] * u - (medium.m - damp)[None] * before + force) / (medium.m + damp)[None]
        return (after, u, remembered), heard(after, ends, layout)

    zeros = jnp.zeros((ends.source_x.shape[0], *medium.m.shape), medium.m.dtype)
    return jax.lax.scan(step, (zeros, zeros, [(zeros, zeros)] * len(coefficients)), ends.terms)[1]


@pytest.mark.parametrize(
    ("memory", "windows", "free_surface", "boundary"),
    [
        ("store", True, False, "damping"),
        ("recompute", False, True, "damping"),
        ("store", False, True, "damping"),
        ("store", True, False, "cpml"),  # which runs without windows
        ("recompute", False, True, "cpml"),
    ],
)
def test_adjoint_of_the_linearised_loop(memory, windows, free_surface, boundary):
    with jax.enable_x64(True):
        plan = Plan(TINY, CELL_M, None, 8, free_surface, None, boundary, windows, True, 0.0, False, memory, True, 1)
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

        @jax.jit
        def transposed(cotangent):
            record, pull = jax.vjp(lambda m, q: propagate(m, q, plan.layout), inside, ends)
            to_medium, to_ends = pull(cotangent)
            return record, to_medium.m, to_ends.terms

        record, change = map(np.asarray, linearised(dm, dq))
        cotangent = rng.normal(size=record.shape)
        again, to_m, to_terms = map(np.asarray, transposed(cotangent))
        left, right = np.vdot(change, cotangent), np.vdot(dm, to_m) + np.vdot(dq, to_terms)
        if (
            plan.layout.windows
        ):  # cells that no recorded wave visits are left out: exact up to what leaks faster than waves
            assert relative(again, record) < 1e-5
        else:
            assert relative(again, record) < 1e-12
            assert abs(float(left / right) - 1) < 1e-10


@pytest.mark.parametrize("boundary", ["damping", "cpml"])
def test_padded_fields_and_fields_with_a_rim_give_the_same(boundary):
    with jax.enable_x64(True):
        plan = Plan(TINY, CELL_M, None, 2, False, None, boundary, True, True, 4e-3, False, "store", True, 1)
        inside = medium(jnp.asarray(model(dtype=np.float64)), plan)
        ends = acquisition(jnp.asarray(plan.ricker[1]), plan)

        @partial(jax.jit, static_argnums=0)
        def all_of(in_place):
            layout = plan.layout._replace(in_place=in_place)
            record, pull = jax.vjp(lambda m, q: propagate(m, q, layout), inside, ends)
            to_medium, to_ends = pull(jnp.cos(jnp.arange(record.size)).reshape(record.shape))
            return propagate(inside, ends, layout), record, to_medium.m, to_ends.terms

        for with_rim, padded in zip(all_of(True), all_of(False), strict=True):
            assert relative(with_rim, padded) < 1e-12


def loss(v, target=None, **options):
    gathers = run(v, **options)
    return 500 * jnp.sum((gathers if target is None else gathers - target) ** 2)


@pytest.mark.parametrize("options", [dict(windows=False), dict(windows=True), dict(boundary="cpml")], ids=str)
def test_taylor_slopes(options):
    with jax.enable_x64(True):
        v = jnp.asarray(model(dtype=np.float64))
        direction = jnp.asarray(np.random.default_rng(2).normal(size=v.shape))
        options = options | dict(keep_every_s=0.0)
        f = jax.jit(jax.vmap(partial(loss, **options)))
        value, gradient = jax.jit(jax.value_and_grad(partial(loss, **options)))(v)
        steps = np.array([1e-2, 3e-3, 1e-3])
        change = f(v[None] + jnp.asarray(steps)[:, None, None] * direction[None]) - value
        rest = change - jnp.asarray(steps) * jnp.vdot(gradient, direction)
    assert 0.9 < np.polyfit(np.log(steps), np.log(np.abs(change)), 1)[0] < 1.1
    assert 1.95 < np.polyfit(np.log(steps), np.log(np.abs(rest)), 1)[0] < 2.05


def test_policies_agree():
    policies = {
        "exact": dict(keep_every_s=0.0),
        "default": {},
        "half": dict(keep_half=True),
        "recompute": dict(memory="recompute"),
    }

    @jax.jit
    def gradients(v):
        return {name: jax.grad(partial(loss, windows=False, **options))(v) for name, options in policies.items()}

    gradient = gradients(jnp.asarray(model()))
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
