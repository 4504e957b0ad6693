"""Three ways from a prediction to a model that explains the gathers, from the same start, prior, data and noise.

    python benchmarks/solvers.py --ckpt runs/workstation --data DIR --count 6

Gauss-Newton (what ``refine`` does), L-BFGS on the same objective, and an ensemble smoother with multiple data
assimilation (ES-MDA: Emerick and Reynolds 2013, doi:10.1016/j.cageo.2012.03.011), which only runs the simulator
forward. Each takes the bands one after the other, and what it proposes is scaled on the held-out shot as in ``refine``.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

import jax_inversion
from jax_inversion import backgrounds
from jax_inversion.data.folders import Sample, find_samples, read_gathers, read_velocity
from jax_inversion.data.preprocess import decimate
from jax_inversion.inference.predictor import Predictor
from jax_inversion.metrics import mape
from jax_inversion.physics import simulate
from jax_inversion.refinement import inversion, solver
from jax_inversion.refinement.learn import learnt
from jax_inversion.refinement.objective import Band, Observed, band, filtered, options
from jax_inversion.refinement.prior import Prior
from jax_inversion.refinement.submission import setting_of

EVALUATIONS = 25  # of L-BFGS, in a band
MEMBERS, ASSIMILATIONS = 96, 4  # of the smoother, in a band
TRIED = 32  # members simulated at a time

Problem = tuple[Observed, list[Band], Any, dict[str, Any]]
Way = Callable[[Problem], np.ndarray]


def gauss_newton(problem: Problem, settings: Any) -> np.ndarray:
    observed, bands, factor, fixed = problem
    w = jnp.zeros(factor.shape[0], jnp.float32)
    for each, count in zip(bands, settings.band_products, strict=True):
        for _ in range(settings.steps):
            step = solver.gauss_newton(observed, each, factor, w, count, products=settings.products, **fixed)
            w = step.w
            if float(step.misfits.fitted) <= each.noise or not step.before - step.after > 0.01 * step.before:
                break
    return np.asarray(w)


def l_bfgs(problem: Problem) -> np.ndarray:
    observed, bands, factor, fixed = problem
    how = options(fixed["simulator"], observed)
    weights = observed.fitted[:, None, None]

    @jax.jit
    def objective(w: Any, each: Band) -> Any:
        model = solver.refined(observed.start_km_s, factor, w, fixed["shape"], fixed["survey"])
        left = filtered(each, observed.gathers - simulate(model, fixed["survey"], **how))
        return 0.5 * each.precision * (weights * left**2).sum() + 0.5 * (w**2).sum()

    slope = jax.jit(jax.value_and_grad(objective))
    w = np.zeros(factor.shape[0])
    for each in bands:

        def both(w: np.ndarray, each: Band = each) -> tuple[float, np.ndarray]:
            value, gradient = slope(jnp.asarray(w, jnp.float32), each)
            return float(value), np.asarray(gradient, np.float64)

        w = scipy.optimize.minimize(
            both, w, jac=True, method="L-BFGS-B", options={"maxfun": EVALUATIONS, "maxcor": 20}
        ).x
    return w.astype(np.float32)


def smoother(problem: Problem) -> np.ndarray:
    """The mean of an ensemble drawn from the prior and updated by the data, with noise inflated so that the
    assimilations together count them once. No localisation: numbers of the prior's factor have no place.
    """
    observed, bands, factor, fixed = problem
    how = options(fixed["simulator"], observed)
    fitted = np.flatnonzero(observed.fitted)
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((factor.shape[0], MEMBERS)).astype(np.float32)

    @jax.jit
    def seen(w: Any, each: Band) -> Any:
        def one(w: Any) -> Any:
            model = solver.refined(observed.start_km_s, factor, w, fixed["shape"], fixed["survey"])
            return filtered(each, simulate(model, fixed["survey"], **how))[fitted].ravel()

        return jax.lax.map(one, w, batch_size=4)

    for each in bands:
        data = np.asarray(filtered(each, observed.gathers))[fitted].ravel()
        spread = float(each.precision) ** -0.5
        for _ in range(ASSIMILATIONS):
            parts = [seen(jnp.asarray(draws.T[k : k + TRIED]), each) for k in range(0, MEMBERS, TRIED)]
            predicted = np.concatenate(parts).T / spread
            noisy = data[:, None] / spread + np.sqrt(ASSIMILATIONS) * rng.standard_normal(predicted.shape)
            off, of_data = draws - draws.mean(1, keepdims=True), predicted - predicted.mean(1, keepdims=True)
            gram = of_data.T @ of_data + ASSIMILATIONS * (MEMBERS - 1) * np.eye(MEMBERS)
            draws += (off @ np.linalg.solve(gram, of_data.T @ (noisy - predicted))).astype(np.float32)
    return draws.mean(1)


def problem_of(sample: Sample, predictor: Predictor, prior: Prior, start: np.ndarray) -> Problem:
    recorded, setting = predictor.survey, setting_of(predictor.config, predictor.restored.survey)
    gathers = decimate(read_gathers(sample, recorded), recorded.dt_s, setting.survey.dt_s)
    background = backgrounds.background(setting.survey, setting.simulator)
    fitted = np.ones(setting.survey.shots, np.float32)
    fitted[setting.held_out] = 0
    observed = Observed(*map(jnp.asarray, (start, gathers, background, fitted)))
    settings = setting.refine
    limits = settings.noise, settings.noise_corner_hz
    bands = [band(setting.survey, observed, setting.preprocess, hz, *limits) for hz in settings.bands_hz]
    fixed = {"shape": prior.shape, "survey": setting.survey, "simulator": setting.simulator}
    return observed, bands, jnp.asarray(prior.factor), fixed


def judged(problem: Problem, w: np.ndarray) -> np.ndarray:
    """The model, with as much of the correction as the held-out shot likes best."""
    observed, bands, factor, fixed = problem
    scales = (0.0, *inversion.SCALES)
    misfits = [float(solver.look(observed, bands[-1], factor, scale * w, **fixed).held_out) for scale in scales]
    scale = scales[int(np.nanargmin(misfits))]
    return np.asarray(solver.refined(observed.start_km_s, factor, scale * w, fixed["shape"], fixed["survey"]))


def rows(predictor: Predictor, samples: list[Sample], ways: dict[str, Way]) -> Iterator[tuple[str, ...]]:
    prior = learnt(predictor)
    for sample in samples:
        truth = read_velocity(sample, predictor.survey)
        start = predictor.predict(read_gathers(sample, predictor.survey)).velocity_km_s
        problem, told = problem_of(sample, predictor, prior, start), [sample.id, 100 * float(mape(start, truth))]
        for way in ways.values():
            begun = time.monotonic()
            told += [100 * float(mape(judged(problem, way(problem)), truth)), time.monotonic() - begun]
        row = told[0], *(f"{value:.3g}" for value in told[1:])
        print("| " + " | ".join(row) + " |", flush=True)
        yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ckpt", required=True)
    parser.add_argument("--data", type=Path, required=True, help="samples with their velocity models")
    parser.add_argument("--count", type=int, default=6)
    options = parser.parse_args()
    predictor = jax_inversion.load(options.ckpt)
    samples = find_samples(options.data, None, predictor.survey)[: options.count]
    settings = predictor.config.refine
    ways: dict[str, Way] = {
        "Gauss-Newton": lambda problem: gauss_newton(problem, settings),
        "L-BFGS": l_bfgs,
        "smoother": smoother,
    }
    print("| sample | predicted | " + " | ".join(f"{name} | s" for name in ways) + " |")
    print("|---|" + "--:|" * (1 + 2 * len(ways)), flush=True)
    found = list(rows(predictor, samples, ways))
    means = np.array([[float(value) for value in row[1:]] for row in found]).mean(0)
    print("| mean | " + " | ".join(f"{value:.3g}" for value in means) + " |")


if __name__ == "__main__":
    main()
