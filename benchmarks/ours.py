"""Our own propagator for the simulator benchmark, measured as the rivals are. Started by ``benchmarks/simulate.py``."""

import functools
import math
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.rivals.measured import Sample, arguments, measure, read_sample
from jax_inversion import backgrounds
from jax_inversion.physics import SimulatorConfig, simulate
from jax_inversion.survey import CHALLENGE

LAYER_M = {"damping": 350.0, "cpml": 100.0}


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.set_defaults(step_s=None)  # the simulator's own choice
    parser.add_argument("--interval-s", type=float, default=CHALLENGE.dt_s, help="interval of the traces")
    parser.add_argument("--gradient", action="store_true", help="sum of squares of the gathers and its gradient")
    parser.add_argument("--batch", type=int, default=1, help="models simulated at once")
    parser.add_argument("--no-windows", action="store_true", help="update every cell at every step")
    parser.add_argument("--boundary", choices=LAYER_M, default="damping")
    args = parser.parse_args()
    settings = SimulatorConfig(spacing_m=args.spacing_m, order=args.order, boundary=args.boundary)
    survey = CHALLENGE.with_interval(args.interval_s)
    options = backgrounds.options(survey, settings) | {"step_s": args.step_s, "windows": not args.no_windows}
    forward = functools.partial(simulate, survey=survey, **options)
    wanted = jax.grad(lambda v: jnp.sum(forward(v) ** 2)) if args.gradient else forward

    def models(sample: Sample) -> np.ndarray:
        return sample.velocity if args.batch == 1 else np.stack([sample.velocity] * args.batch)

    first = jnp.asarray(models(read_sample(args.samples[0])))
    started = time.perf_counter()
    compiled = jax.jit(wanted).lower(first).compile()
    compile_s = time.perf_counter() - started
    compiled(first).block_until_ready()

    def run(sample: Sample) -> np.ndarray:
        result = np.asarray(compiled(jnp.asarray(models(sample))))
        return result if args.batch == 1 else result[0]

    layer = 2 * round(LAYER_M[args.boundary] / args.spacing_m)
    # with windows the cells that are updated change with the model, and a count of updates would mean nothing
    countable = args.step_s is not None and args.no_windows
    measure(
        run,
        args,
        compile_s=compile_s,
        dt_s=survey.dt_s,
        cells=math.prod(math.ceil(n * survey.spacing_m / args.spacing_m) + layer for n in survey.model_shape),
        steps=round(survey.duration_s / args.step_s) if countable else None,
        gradient=args.gradient,
        batch=args.batch,
        version=f"jax {jax.__version__}",
    )


if __name__ == "__main__":
    main()
