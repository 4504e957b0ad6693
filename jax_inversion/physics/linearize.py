"""The simulator linearised at a model: gathers, and the products of their derivative with a model and with gathers."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Shaped

from ..arrays import Gathers, Velocity
from ..errors import UserError
from ..survey import Survey
from . import adjoint, born
from .layout import Layout
from .plan import Plan, acquisition, medium
from .simulate import prepare, sampled, simulate, source_terms, spectra_of, whatever_the_model

Jvp: TypeAlias = Callable[[Velocity], Gathers]
Vjp: TypeAlias = Callable[[Gathers], Velocity]


def linearize(
    velocity_km_s: Shaped[Array | np.ndarray, "*batch x depth"], survey: Survey, **options
) -> tuple[Gathers, Jvp, Vjp]:
    """Gathers of a model, and the two products of their derivative J in it.

    ``gathers, jvp, vjp = linearize(velocity, survey)``: ``jvp(change)`` is J times a change (*batch, x, depth) of the
    model in km/s, Born modelling with the same stencil, windows and time correction; ``vjp(cotangent)`` is J^T times
    gathers. They are each other's transposes to rounding, whatever ``keep_every_s`` leaves out. A ``jvp`` costs about a
    forward run, a ``vjp`` somewhat more; both hold on to what the forward run kept.

    ``options`` are those of ``simulate``, ``memory`` aside: what is kept is stored. Works under ``jit`` and ``vmap``;
    the products may be returned from a jitted function, and be called in another.

    Raises what ``simulate`` raises, and ``UserError`` for ``memory="recompute"``.
    """
    if options.get("memory", "store") != "store":
        raise UserError("linearize stores what it keeps: leave memory at 'store'; keep_half takes half of it")
    how = _DEFAULTS | options
    if strange := sorted(how.keys() - _DEFAULTS.keys()):
        raise TypeError(f"linearize() got an unexpected keyword argument {strange[0]!r}")
    ready = prepare(velocity_km_s, survey, given_step_s=how.pop("step_s"), **how)
    velocity, plan = ready.velocity_km_s, ready.plan
    gathers, residual = _forward(*ready)
    return gathers, Partial(partial(_jvp, plan), velocity, residual), Partial(partial(_vjp, plan), velocity, residual)


_DEFAULTS = {
    name: option.default
    for name, option in inspect.signature(simulate).parameters.items()
    if option.kind is option.KEYWORD_ONLY
}


@partial(jax.jit, static_argnames=("plan",))
def _forward(
    velocity_km_s: Velocity, plan: Plan, wavelet: Array | np.ndarray | None, correction: Array | None
) -> tuple[Gathers, tuple]:
    ends = acquisition(source_terms(plan, wavelet, velocity_km_s.dtype), plan)
    record, residual = adjoint.store_forward(medium(velocity_km_s, plan), ends, _layout(plan))
    spectra = spectra_of(record, plan)
    same = whatever_the_model(plan, wavelet, correction, velocity_km_s.dtype)
    return sampled(spectra, plan) + jnp.expand_dims(same, tuple(range(spectra.ndim - 3))), residual


@partial(jax.jit, static_argnums=0)
def _jvp(plan: Plan, velocity: Velocity, residual: tuple, change: Velocity) -> Gathers:
    change = jnp.broadcast_to(jnp.asarray(change, velocity.dtype), velocity.shape)
    _, of_medium = jax.jvp(partial(_slowness_squared, plan), (velocity,), (change,))
    return _to_gathers(plan, born.record(_layout(plan), residual, of_medium))


@partial(jax.jit, static_argnums=0)
def _vjp(plan: Plan, velocity: Velocity, residual: tuple, cotangent: Gathers) -> Velocity:
    like = jax.eval_shape(partial(born.record, _layout(plan)), residual, residual[0].m)
    (of_record,) = jax.linear_transpose(partial(_to_gathers, plan), like)(jnp.asarray(cotangent, velocity.dtype))
    of_medium, _ = adjoint.store_backward(_layout(plan), residual, of_record)
    return jax.vjp(partial(_slowness_squared, plan), velocity)[1](of_medium)[0]


def _slowness_squared(plan: Plan, velocity: Velocity) -> Float[Array, "*batch X Z"]:
    return medium(velocity, plan).m


def _to_gathers(plan: Plan, record: Array) -> Gathers:
    return sampled(spectra_of(record, plan), plan)


def _layout(plan: Plan) -> Layout:
    return plan.layout._replace(hear=False)
