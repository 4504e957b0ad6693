"""Devito on the challenge's equation: at 1 m and second order it made the data, at 5 m and order 8 it is a rival.

    m u_tt + damp u_t - laplace(u) = q,    m = 1 / vp^2,    ms and m throughout

See https://www.devitoproject.org and, for the damping layer, ``challenge_damping``.
"""

import os
import time
from collections.abc import Callable

import numpy as np

from benchmarks.rivals.measured import arguments, coarse_velocity, measure, ricker
from jax_inversion.survey import CHALLENGE, Survey

DAMPING_M = 350.0


def challenge_damping(shape: tuple[int, int], nbl: int, k: int = 1) -> np.ndarray:
    """The challenge's damping in ms/m^2 on a padded grid of ``k`` m cells, ``nbl`` a side; sides add up in corners.

    On a coarse grid this is the average of the 1 m profile over each cell, so that the layer lies where it lay.
    """
    n = nbl * k
    pos = (n - np.arange(n) + 1) / n
    fine = 1.5 * np.log(1000.0) / n * (pos - np.sin(2 * np.pi * pos) / (2 * np.pi))
    side = fine.reshape(nbl, k).mean(1)
    across, down = (np.concatenate([side, np.zeros(size - 2 * nbl), side[::-1]]) for size in shape)
    return (across[:, None] + down[None, :]).astype(np.float32)


def propagator(
    survey: Survey, spacing_m: float, dt_s: float, space_order: int, nbl: int
) -> tuple[Callable[[np.ndarray, int], np.ndarray], tuple[int, int], int]:
    """Build the operator for cells of a whole number of the survey's.

    Returns ``shoot(velocity (x, depth), steps) -> gathers (shot, time, receiver)``, padded shape and rows of a trace.
    """
    from devito import Eq, Function, Grid, Operator, SparseTimeFunction, TimeFunction, solve

    k = round(spacing_m / survey.spacing_m)
    inner = -(-survey.nx // k), -(-survey.nz // k)
    shape = inner[0] + 2 * nbl, inner[1] + 2 * nbl
    extent = tuple((n - 1) * spacing_m for n in shape)
    nt = round(survey.duration_s / dt_s) + 1
    grid = Grid(shape=shape, extent=extent, dtype=np.float32)
    # positions count from the outermost cell: Devito's sinc weights leave out an origin given to the grid
    origin_m = nbl * spacing_m - (k - 1) / 2 * survey.spacing_m

    u = TimeFunction(name="u", grid=grid, time_order=2, space_order=space_order)
    vp, damp = (Function(name=name, grid=grid, space_order=space_order) for name in ("vp", "damp"))
    m = 1 / (vp * vp)  # a stored m would round otherwise, and 0.3 % away: at 0.1 ms float32 rounding is no small thing
    damp.data[:] = challenge_damping(shape, nbl, k)
    how = {"interpolation": "linear"} if k == 1 else {"interpolation": "sinc", "r": 8}
    src = SparseTimeFunction(name="src", grid=grid, npoint=1, nt=nt, **how)
    rec = SparseTimeFunction(name="rec", grid=grid, npoint=survey.receivers, nt=nt, **how)
    src.data[:, 0] = ricker(dt_s, nt) / k**2  # a point source has the strength of one cell of 1 m
    rec.coordinates.data[:, 0] = np.asarray(survey.receiver_x_m) + origin_m
    rec.coordinates.data[:, 1] = survey.receiver_z_m + origin_m

    ms = grid.stepping_dim.spacing
    # row k of a trace is the field at step k, and source sample k enters step k + 1
    update = Eq(u.forward, solve(m * u.dt2 + damp * u.dt - u.laplace, u.forward))
    inject = src.inject(field=u.forward, expr=src * ms**2 / m)
    operator = Operator([update, inject, rec.interpolate(expr=u)], subs=grid.spacing_map)

    def shoot(velocity: np.ndarray, steps: int = nt - 1) -> np.ndarray:
        vp.data[:] = np.pad(velocity, nbl, mode="edge")
        gathers = []
        for x_m in survey.source_x_m:
            u.data[:] = 0
            rec.data[:] = 0
            src.coordinates.data[:] = x_m + origin_m, survey.source_z_m + origin_m
            operator.apply(time_m=0, time_M=steps, dt=np.float32(dt_s * 1e3))
            gathers.append(np.array(rec.data))
        return np.stack(gathers)

    return shoot, shape, nt


def devito_gathers(
    vp: np.ndarray, survey: Survey, spacing_m: float, dt_s: float, space_order: int, threads: int, nbl: int
) -> np.ndarray:
    """Gathers (shot, time, receiver) of a model (x, depth) in km/s on the survey's cells, every ``dt_s``."""
    configure(threads)
    shoot, _, _ = propagator(survey, spacing_m, dt_s, space_order, nbl)
    return shoot(coarse_velocity(vp, spacing_m / survey.spacing_m))


def configure(threads: int) -> None:
    """OpenMP from two threads on. The count must be in the environment before Devito's library is loaded."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    from devito import configuration

    configuration["language"] = "openmp" if threads > 1 else "C"
    configuration["log-level"] = "ERROR"


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument(
        "--share", type=float, default=1.0, help="make this share of the steps only and scale the time up"
    )
    args = parser.parse_args()
    configure(args.threads)
    import devito

    started = time.perf_counter()
    nbl = round(DAMPING_M / args.spacing_m)
    shoot, shape, nt = propagator(CHALLENGE, args.spacing_m, args.step_s, args.order, nbl)
    shoot(np.full((shape[0] - 2 * nbl, shape[1] - 2 * nbl), 2.0, np.float32), 2)
    compile_s = time.perf_counter() - started
    steps = round(args.share * (nt - 1))

    measure(
        lambda sample: shoot(coarse_velocity(sample.velocity, args.spacing_m), steps),
        args,
        compile_s=compile_s,
        dt_s=args.step_s,
        cells=shape[0] * shape[1],
        steps=nt - 1,
        share=steps / (nt - 1),
        version=f"Devito {devito.__version__}",
    )


if __name__ == "__main__":
    main()
