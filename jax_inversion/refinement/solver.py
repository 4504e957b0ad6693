"""Gauss-Newton steps towards the likeliest correction, by Lanczos vectors of the linearised simulator.

The refined model has the prediction's cells exp(c + d) times as fast and exp(c) times as thick: c keeps their two-way
times, so that a trend may be corrected without moving in the data what lies below it, d keeps their depths. A sample's
errors are more of one kind or of the other, and its data say which. c = P L w1 / sqrt(2) and d = P L w2 / sqrt(2), w
are independent normal numbers, L is the prior's factor, P interpolates from its cells to the model's. Minimised is,
over w,

    |F (d - g(v))|^2 precision / 2 + |w|^2 / 2

(Tarantola 2005, doi:10.1137/1.9780898717921). One step solves (A + 1) dw = -gradient, A = J^T J precision, in the
Krylov space of A and the gradient: conjugate gradients' own iterates (Golub and Van Loan 2013, section 10.3), but with
the vectors kept, and made orthogonal again at each product, which float32 needs. They say what data leave open, too.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..arrays import EXACT, Velocity
from ..models import time_depth
from ..physics import SimulatorConfig, linearize, simulate
from ..resampling import resize
from ..survey import Survey
from .objective import Band, Misfits, Observed, filtered, filtered_transposed, misfits, options

_exact = partial(jnp.matmul, precision=EXACT)
HALVINGS = 4  # of the vectors of a step that does not lower the objective
DRAWS = 64  # whose deviation is known to a tenth
KINDS = 2  # of a correction: what keeps two-way times, what keeps depths
Numbers = Float[Array, " numbers"]
Factor = Float[Array, "cells cells"]
Count: TypeAlias = Int[Array, ""] | int


class Step(NamedTuple):
    """``w`` after the step; the objective before and after; misfits after; Lanczos vectors (k, numbers) of A and the
    tridiagonal matrix that A is among them.
    """

    w: Numbers
    before: Float[Array, ""]
    after: Float[Array, ""]
    misfits: Misfits
    vectors: Float[Array, "k numbers"]
    tridiagonal: Float[Array, "k k"]


def refined(
    start_km_s: Velocity | np.ndarray, factor: Factor, w: Numbers, shape: tuple[int, int], survey: Survey
) -> Velocity:
    """The corrected model (x, depth), within the survey's bounds."""
    start = jnp.asarray(start_km_s)
    fields = _exact(w.reshape(KINDS, -1), factor.T) / KINDS**0.5
    keeps_time, keeps_depth = resize(fields.reshape(KINDS, *shape), (start.shape[0], start.shape[1]))
    faster = time_depth.stretched(start * jnp.exp(keeps_depth), keeps_time)
    return jnp.clip(faster, survey.v_min_km_s, survey.v_max_km_s)


def nothing(factor: Factor | np.ndarray, *samples: int) -> Float[Array, "*samples numbers"]:
    """The numbers that correct nothing."""
    return jnp.zeros((*samples, KINDS * len(factor)), jnp.float32)


@partial(jax.jit, static_argnames=("shape", "survey", "simulator"))
def look(
    observed: Observed, band: Band, factor: Factor, w: Numbers, *, shape: tuple[int, int], survey: Survey,
    simulator: SimulatorConfig,
) -> Misfits:  # fmt: skip
    """How far the gathers of the model that ``w`` makes are from those observed."""
    model = refined(observed.start_km_s, factor, w, shape, survey)
    gathers = simulate(model, survey, **options(simulator, observed))
    return misfits(band, observed, filtered(band, observed.gathers - gathers))


@partial(jax.jit, static_argnames=("shape", "survey", "simulator", "products"))
def gauss_newton(
    observed: Observed, band: Band, factor: Factor, w: Numbers, count: Count, *, shape: tuple[int, int],
    survey: Survey, simulator: SimulatorConfig, products: int,
) -> Step:  # fmt: skip
    """One step from ``w``, of all Lanczos vectors, of half of them, and so on until the objective falls; where it never
    does, ``w`` comes back. (Fewer vectors are a shorter step along the best known directions: Steihaug 1983.)

    ``simulator`` says how to simulate; ``count`` products of J and of its transpose are taken, at most ``products``.
    """
    how = options(simulator, observed)
    weights = observed.fitted[:, None, None]
    model = partial(refined, observed.start_km_s, factor, shape=shape, survey=survey)

    def objective(w: Numbers, residual: Array) -> Array:
        return 0.5 * band.precision * (weights * residual**2).sum() + 0.5 * (w**2).sum()

    def residual_at(w: Numbers) -> Array:
        return filtered(band, observed.gathers - simulate(model(w), survey, **how))

    velocity, to_model = jax.linearize(model, w)
    from_model = jax.linear_transpose(to_model, w)
    gathers, jvp, vjp = linearize(velocity, survey, **how)

    def back(traces: Array) -> Numbers:
        return band.precision * from_model(vjp(filtered_transposed(band, weights * traces)))[0]

    residual = filtered(band, observed.gathers - gathers)
    downhill = back(residual) - w
    vectors, tridiagonal = lanczos(lambda p: back(filtered(band, jvp(to_model(p)))), downhill, products, count)
    before = objective(w, residual)

    def worse(trial: tuple) -> Array:
        halvings, _, _, after = trial
        return (halvings < HALVINGS) & ~(after < before)

    def halve(trial: tuple) -> tuple:
        halvings, _, _, _ = trial
        inverse = first_column(tridiagonal, count // 2**halvings)
        there = w + _exact(vectors.T, inverse * jnp.linalg.norm(downhill))
        left = residual_at(there)
        return halvings + 1, there, left, objective(there, left)

    _, there, left, after = jax.lax.while_loop(worse, halve, (jnp.int32(0), w, residual, before))
    better = after < before
    there, left = jnp.where(better, there, w), jnp.where(better, left, residual)
    return Step(there, before, jnp.minimum(after, before), misfits(band, observed, left), vectors, tridiagonal)


def side_by_side(function: Callable[..., Any]) -> Callable[..., Any]:
    """``look`` or ``gauss_newton`` for several samples: start, gathers, band and numbers have an axis for them in
    front, a count of products has not. A single one goes the plain way.
    """

    @cache
    def mapped(**fixed: Any) -> Callable[..., Any]:
        own: Any = 0
        shared: Any = None
        axes = Observed(own, own, shared, shared), 0, None, 0
        one = partial(function.__wrapped__, **fixed)
        return jax.jit(lambda *args: jax.vmap(one, (*axes, *(None for _ in args[len(axes) :])))(*args))

    def several(
        observed: Observed, band: Band, factor: Factor, w: Float[Array, "n numbers"], *count: Count, **fixed: Any
    ) -> Any:
        if len(w) > 1:
            return mapped(**fixed)(observed, band, factor, w, *count)
        start, gathers, *rest = observed
        alone = Observed(start[0], gathers[0], *rest), Band(*(jnp.asarray(each)[0] for each in band))
        return jax.tree.map(lambda leaf: leaf[None], function(*alone, factor, w[0], *count, **fixed))

    return several


look_together, gauss_newton_together = side_by_side(look), side_by_side(gauss_newton)


def lanczos(
    product: Callable[[Numbers], Numbers], start: Numbers, room: int, count: Count
) -> tuple[Float[Array, "k numbers"], Float[Array, "k k"]]:
    """``count`` orthonormal vectors of the Krylov space of a symmetric ``product`` and ``start``, and the product among
    them, tridiagonal. Where the space ends earlier the other vectors are zero, as those up to ``room`` are.
    """

    def next_one(k: Array, carry: tuple) -> tuple:
        vectors, applied = carry
        image = product(vectors[k])
        left = image
        for _ in range(2):  # twice is enough: Parlett 1998, section 6.9
            left = left - _exact(vectors.T, _exact(vectors, left))
        size = jnp.linalg.norm(left)
        following = jnp.where(size > 1e-6 * jnp.linalg.norm(image), left / jnp.maximum(size, 1e-30), 0.0)
        following = jnp.where(k + 1 < count, following, 0.0)
        return vectors.at[k + 1].set(following, mode="drop"), applied.at[k].set(image)

    first = start / jnp.maximum(jnp.linalg.norm(start), 1e-30)
    vectors = jnp.zeros((room, start.size), start.dtype).at[0].set(first)
    vectors, applied = jax.lax.fori_loop(0, count, next_one, (vectors, jnp.zeros_like(vectors)))
    among = _exact(vectors, applied.T)
    return vectors, (among + among.T) / 2


def first_column(tridiagonal: Float[Array, "k k"], count: Count) -> Float[Array, " k"]:
    """Of the inverse of one plus its first ``count`` rows and columns. What it has below zero is rounding of its
    largest values, which would lead uphill.
    """
    kept = jnp.arange(len(tridiagonal)) < count
    values, rotation = jnp.linalg.eigh(jnp.where(kept[:, None] & kept[None], tridiagonal, 0.0))
    return jnp.where(kept, _exact(rotation, rotation[0] / (1 + jnp.maximum(values, 0.0))), 0.0)


@partial(jax.jit, static_argnames=("shape", "survey"))
def deviation(
    start_km_s: Velocity, factor: Factor, w: Numbers, vectors: Float[Array, "k numbers"],
    tridiagonal: Float[Array, "k k"], *, shape: tuple[int, int], survey: Survey,
) -> Velocity:  # fmt: skip
    """Standard deviation, in km/s, of the model that ``w`` makes: of draws with the covariance (1 + A)^-1, A as Lanczos
    vectors know it. Directions that these do not reach keep the prior's.
    """
    values, rotation = jnp.linalg.eigh(tridiagonal)
    known, shorter = _exact(rotation.T, vectors), 1 / jnp.sqrt(1 + jnp.maximum(values, 0.0)) - 1
    model = refined(start_km_s, factor, w, shape, survey)

    def add(k: Array, total: Array) -> Array:
        draw = jax.random.normal(jax.random.fold_in(jax.random.key(0), k), w.shape, w.dtype)
        draw = draw + _exact(known.T, shorter * _exact(known, draw))
        return total + (refined(start_km_s, factor, w + draw, shape, survey) - model) ** 2

    return jnp.sqrt(jax.lax.fori_loop(0, DRAWS, add, jnp.zeros_like(model)) / DRAWS)
