"""Three ways from a prediction to a model that explains the gathers, from the same start, prior, data and noise.

    python benchmarks/solvers.py --ckpt pretrained --data OURS DEVITOS --count 3

Gauss-Newton (``refine`` itself), L-BFGS on the same objective, and an ensemble smoother with multiple data
assimilation (ES-MDA: Emerick and Reynolds 2013, doi:10.1016/j.cageo.2012.03.011), localised, which only runs the
simulator forward. Each takes the bands of [refine] one after the other, and what it proposes is scaled on the held-out
shot as in ``refine``. The first row has each way's compilation in its seconds.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.optimize
from named import named

from jax_inversion.data.folders import Sample, read_gathers, read_velocity
from jax_inversion.data.preprocess import decimate
from jax_inversion.inference.predictor import Predictor
from jax_inversion.metrics import mape
from jax_inversion.physics import simulate
from jax_inversion.refinement import inversion, refine, solver
from jax_inversion.refinement.learn import learnt
from jax_inversion.refinement.objective import Band, Observed, band, filtered, options
from jax_inversion.refinement.prior import Prior
from jax_inversion.refinement.submission import background_of, setting_of

EVALUATIONS = 50  # of L-BFGS, in a band: about Gauss-Newton's seconds
MEMBERS, ASSIMILATIONS = 192, 4  # of the smoother, in a band
TRIED = 32  # members simulated at a time
# The taper's range on either side of where a datum was scattered: the best of four pairs, no taper among them, on a
# marine sample that is in no table.
ABOVE_M, BELOW_M = 400.0, 100.0


class Problem(NamedTuple):
    observed: Observed
    bands: list[Band]
    prior: Prior
    setting: inversion.Setting

    @property
    def factor(self) -> Any:
        return jnp.asarray(self.prior.factor)

    @property
    def fixed(self) -> dict[str, Any]:
        return {"shape": self.prior.shape, "survey": self.setting.survey, "simulator": self.setting.simulator}


def gauss_newton(problem: Problem) -> np.ndarray:
    start, gathers, background, _ = map(np.asarray, problem.observed)
    return refine(start, gathers, background, problem.prior, problem.setting).velocity_km_s


def l_bfgs(problem: Problem) -> np.ndarray:
    rest, w = (problem.observed, problem.factor), np.asarray(solver.nothing(problem.factor), np.float64)
    for each in problem.bands:

        def both(w: np.ndarray, each: Band = each) -> tuple[float, np.ndarray]:
            value, gradient = _slope(jnp.asarray(w, jnp.float32), each, *rest, **problem.fixed)
            return float(value), np.asarray(gradient, np.float64)

        how = {"maxfun": EVALUATIONS, "maxcor": 20}
        w = scipy.optimize.minimize(both, w, jac=True, method="L-BFGS-B", options=how).x
    return judged(problem, w.astype(np.float32))


def smoother(problem: Problem) -> np.ndarray:
    """The mean of an ensemble drawn from the prior and updated by the data, with noise inflated so that the
    assimilations together count them once.
    """
    rest, factor = (problem.observed, problem.factor), problem.prior.factor
    fitted, tapered = np.flatnonzero(problem.observed.fitted), tapers(problem)
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((solver.KINDS, len(factor), MEMBERS)).astype(np.float32)
    for each in problem.bands:
        data = np.asarray(filtered(each, problem.observed.gathers))[fitted, ..., None]
        deviation = float(each.precision) ** -0.5
        for _ in range(ASSIMILATIONS):
            every = draws.reshape(-1, MEMBERS).T
            some = [jnp.asarray(every[k : k + TRIED]) for k in range(0, MEMBERS, TRIED)]
            predicted = np.concatenate([_seen(ws, each, *rest, **problem.fixed) for ws in some])
            predicted = np.moveaxis(predicted[:, fitted], 0, -1)
            noise = ASSIMILATIONS**0.5 * rng.standard_normal(predicted.shape).astype(np.float32)
            missed = (data - predicted) / deviation + noise
            # the taper has places, and numbers of the prior's factor have none: so by way of fields and back
            for kind in draws:
                change = gained(factor @ kind, predicted / deviation, missed, tapered)
                kind += scipy.linalg.solve_triangular(factor, change, lower=True, check_finite=False)
    return judged(problem, draws.reshape(-1, MEMBERS).mean(1))


def gained(fields: np.ndarray, predicted: np.ndarray, missed: np.ndarray, tapered: list[np.ndarray]) -> np.ndarray:
    """The tapered gain times what is missed: (cell, member) from fields, (cell, member), and data, (shot, time,
    receiver, member), in units of their noise.
    """
    off, of_data = (each - each.mean(-1, keepdims=True) for each in (fields, predicted))
    flat = of_data.reshape(-1, MEMBERS)
    ahead = off @ np.linalg.inv(flat.T @ flat + ASSIMILATIONS * (MEMBERS - 1) * np.eye(MEMBERS, dtype=np.float32))
    change = np.zeros_like(fields)
    for taper, seen, left in zip(tapered, of_data, missed, strict=True):  # shot by shot, for the gain is large
        gain = taper * np.tensordot(ahead, seen, (1, -1))
        change += gain.reshape(len(fields), -1) @ left.reshape(-1, MEMBERS)
    return change


def tapers(problem: Problem) -> list[np.ndarray]:
    """What each datum has a say in, a (cell, time, receiver) for each fitted shot: Gaspari and Cohn's function (1999,
    doi:10.1002/qj.49712555417) of a cell's distance to where a wave was scattered that arrives at that time.

    These places are no point but an isochrone: source, cell, receiver, along straight rays at the start's mean
    velocity down to the cell. Distance is time times half of that. What is deeper cannot be heard yet, but for the
    length of a wavelet; what is shallower delayed the wave, and is heard further.
    """
    survey, shape = problem.setting.survey, problem.prior.shape
    x_m, z_m = (
        ((np.arange(few) + 0.5) * many / few - 0.5) * survey.spacing_m
        for few, many in zip(shape, survey.model_shape, strict=True)
    )
    slowness = 1 / np.asarray(problem.observed.start_km_s).mean(0) / 1e3
    mean = np.cumsum(slowness) / np.arange(1, survey.nz + 1)
    mean_m_s = 1 / np.interp(z_m, np.arange(survey.nz) * survey.spacing_m, mean)

    def seconds(places_x_m: Any, place_z_m: float) -> np.ndarray:
        across = x_m[:, None] - np.asarray(places_x_m)[:, None, None]
        return (np.hypot(across, z_m - place_z_m) / mean_m_s).reshape(len(across), -1)

    down, up = seconds(survey.source_x_m, survey.source_z_m), seconds(survey.receiver_x_m, survey.receiver_z_m)
    time_s, half_m_s = np.arange(survey.nt) * survey.dt_s, np.tile(mean_m_s / 2, shape[0])

    def taper(down: np.ndarray) -> np.ndarray:
        late_s = time_s[None, :, None] - (down + up).T[:, None, :]
        late_m = half_m_s[:, None, None] * late_s
        return gaspari_cohn(np.where(late_m > 0, late_m / ABOVE_M, -late_m / BELOW_M).astype(np.float32))

    return [taper(each) for each in down[np.flatnonzero(problem.observed.fitted)]]


def gaspari_cohn(r: np.ndarray) -> np.ndarray:
    """One at 0, falling smoothly to nothing at 2."""
    near = 1 - 5 / 3 * r**2 + 5 / 8 * r**3 + r**4 / 2 - r**5 / 4
    s = np.clip(r, 1, 2)
    far = 4 - 5 * s + 5 / 3 * s**2 + 5 / 8 * s**3 - s**4 / 2 + s**5 / 12 - 2 / (3 * s)
    return np.where(r < 1, near, np.maximum(far, 0))


@partial(jax.jit, static_argnames=("shape", "survey", "simulator"))
@jax.value_and_grad
def _slope(w: Any, each: Band, observed: Observed, factor: Any, *, shape: Any, survey: Any, simulator: Any) -> Any:
    model = solver.refined(observed.start_km_s, factor, w, shape, survey)
    left = filtered(each, observed.gathers - simulate(model, survey, **options(simulator, observed)))
    return 0.5 * each.precision * (observed.fitted[:, None, None] * left**2).sum() + 0.5 * (w**2).sum()


@partial(jax.jit, static_argnames=("shape", "survey", "simulator"))
def _seen(ws: Any, each: Band, observed: Observed, factor: Any, *, shape: Any, survey: Any, simulator: Any) -> Any:
    def one(w: Any) -> Any:
        model = solver.refined(observed.start_km_s, factor, w, shape, survey)
        return filtered(each, simulate(model, survey, **options(simulator, observed)))

    return jax.lax.map(one, ws, batch_size=4)


def judged(problem: Problem, w: Any) -> np.ndarray:
    """The model, with as much of the correction as the held-out shot likes best."""
    (observed, bands, _, _), factor, fixed = problem, problem.factor, problem.fixed
    scales = (0.0, *inversion.SCALES)
    misfits = [float(solver.look(observed, bands[-1], factor, scale * w, **fixed).held_out) for scale in scales]
    scale = scales[int(np.nanargmin(misfits))]
    return np.asarray(solver.refined(observed.start_km_s, factor, scale * w, fixed["shape"], fixed["survey"]))


def problem_of(sample: Sample, predictor: Predictor, prior: Prior) -> Problem:
    recorded, setting = predictor.survey, setting_of(predictor.config, predictor.restored.survey)
    raw = read_gathers(sample, recorded)
    start = predictor.predict(raw).velocity_km_s
    gathers = decimate(raw, recorded.dt_s, setting.survey.dt_s)
    fitted = np.ones(setting.survey.shots, np.float32)
    fitted[setting.held_out] = 0
    observed = Observed(*map(jnp.asarray, (start, gathers, background_of(predictor, setting), fitted)))
    settings = setting.refine
    limits = settings.noise, settings.noise_corner_hz
    bands = [band(setting.survey, observed, setting.preprocess, hz, *limits) for hz in settings.bands_hz]
    return Problem(observed, bands, prior, setting)


WAYS: dict[str, Callable[[Problem], np.ndarray]] = {"Gauss-Newton": gauss_newton, "L-BFGS": l_bfgs, "ES-MDA": smoother}


def row(problem: Problem, truth: np.ndarray) -> list[float]:
    told = [100 * float(mape(np.asarray(problem.observed.start_km_s), truth))]
    for way in WAYS.values():
        begun = time.monotonic()
        told += [100 * float(mape(way(problem), truth)), time.monotonic() - begun]
    return told


def say(name: str, told: Any) -> None:
    cells = [f"{value:.2f}" if k % 2 or not k else f"{value:.0f}" for k, value in enumerate(told)]
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    predictor, folders = named(__doc__, count=3)
    prior = learnt(predictor)
    print("| sample | predicted | " + " | ".join(f"{name} | s" for name in WAYS) + " |")
    print("|---|" + "--:|" * (1 + 2 * len(WAYS)), flush=True)
    for folder, samples in folders.items():
        found = []
        for sample in samples:
            found.append(row(problem_of(sample, predictor, prior), read_velocity(sample, predictor.survey)))
            say(sample.id, found[-1])
        say(f"mean, {folder}", np.mean(found, axis=0))


if __name__ == "__main__":
    main()
