"""The linearised simulator: the derivative of what it simulates, and its exact transpose."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from physics_tiny import CELL_M, TINY, model, relative

from jax_inversion.errors import UserError
from jax_inversion.physics import linearize, simulate

pytestmark = pytest.mark.usefixtures("few_windows")
run = partial(linearize, survey=TINY, spacing_m=CELL_M)


def directions(dtype):
    rng = np.random.default_rng(5)
    change = jnp.asarray(rng.normal(size=TINY.model_shape).astype(dtype))
    return change, jnp.asarray(rng.normal(size=TINY.gathers_shape).astype(dtype))


@pytest.mark.parametrize(
    "options",
    [{}, dict(boundary="cpml", free_surface=True, reference=None)],
    ids=str,
)
def test_the_products_are_each_others_transpose(options):
    with jax.enable_x64(True):
        change, cotangent = directions(np.float64)
        _, jvp, vjp = run(jnp.asarray(model(dtype=np.float64)), **options)
        left, right = jnp.vdot(jvp(change), cotangent), jnp.vdot(change, vjp(cotangent))
        assert abs(float(left / right) - 1) < 1e-10


def test_what_the_derivative_leaves_is_of_second_order():
    with jax.enable_x64(True):
        v = jnp.asarray(model(dtype=np.float64))
        change, _ = directions(np.float64)
        options = dict(keep_every_s=0.0, windows=False)
        gathers, jvp, _ = run(v, **options)
        first, steps = jvp(change), np.array([1e-2, 3e-3, 1e-3])
        simulated = simulate(
            v[None] + jnp.asarray(steps)[:, None, None] * change[None], TINY, spacing_m=CELL_M, **options
        )
        rest = [float(jnp.linalg.norm(g - gathers - t * first)) for g, t in zip(simulated, steps, strict=True)]
        assert 1.95 < np.polyfit(np.log(steps), np.log(rest), 1)[0] < 2.05
        assert relative(gathers, simulate(v, TINY, spacing_m=CELL_M, **options)) < 1e-12


def test_batches_under_jit_and_vmap_agree_and_steps_left_out_cost_little():
    models = jnp.stack([jnp.asarray(model(k)) for k in (0, 1)])
    change, cotangent = directions(np.float32)

    @partial(jax.jit, static_argnames="keep_every_s")
    def products(v, keep_every_s=4e-3):
        gathers, jvp, vjp = run(v, windows=False, keep_every_s=keep_every_s)
        return gathers, jvp(jnp.broadcast_to(change, v.shape)), vjp(jnp.broadcast_to(cotangent, gathers.shape))

    batched = products(models)
    for one, other in zip(batched, jax.vmap(products)(models), strict=True):
        assert relative(one, other) < 1e-4
    for one, other in zip(products(models, keep_every_s=0.0), batched, strict=True):
        assert relative(other, one) < 1e-2


def test_what_it_cannot_do_is_said():
    with pytest.raises(UserError, match="keep_half"):
        run(model(), memory="recompute")
    with pytest.raises(TypeError, match="spacing"):
        linearize(model(), TINY, spacing=1.0)
    with pytest.raises(UserError, match="velocity has shape"):
        run(model()[:-1])
