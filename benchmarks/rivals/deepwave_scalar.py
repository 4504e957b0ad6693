"""Deepwave's ``scalar`` on the CPU: the same grid, order and step as ours, inside its own 20-cell PML.

See https://github.com/ar4/deepwave. Its source term has the opposite sign of Devito's.
"""

import argparse
from collections.abc import Callable

import deepwave
import numpy as np
import torch
from deepwave import time_dispersion

from benchmarks.rivals.measured import Sample, arguments, coarse_velocity, measure, read_sample, ricker
from jax_inversion.survey import CHALLENGE

PML = 20
EDGE = 4  # cells of replicated edge, so that the windows of sources and receivers lie inside the model


def propagator(args: argparse.Namespace) -> Callable[[torch.Tensor], torch.Tensor]:
    """``gathers(velocity (x, depth) in m/s) -> (shot, receiver, time)`` for the challenge's survey."""
    spacing_m, survey = args.spacing_m, CHALLENGE
    nt = -(-(round(survey.duration_s / args.step_s) + 1) // args.every) * args.every  # Deepwave wants whole intervals

    def cells(positions_m: list[tuple[float, float]]) -> torch.Tensor:
        """Positions (x, depth) in fractional cells: the first cell's centre is where that of its 1 m cells is."""
        return (torch.tensor(positions_m) - (spacing_m - survey.spacing_m) / 2) / spacing_m + EDGE

    sources = cells([(x, survey.source_z_m) for x in survey.source_x_m])[:, None]
    receivers = cells([(x, survey.receiver_z_m) for x in survey.receiver_x_m])[None].repeat(survey.shots, 1, 1)
    wavelet = torch.from_numpy(-ricker(args.step_s, nt) / spacing_m**2).repeat(survey.shots, 1, 1)
    if args.time_dispersion:
        wavelet = time_dispersion.correct_source(wavelet, args.step_s)

    def gathers(velocity_m_s: torch.Tensor) -> torch.Tensor:
        traces = deepwave.scalar(
            torch.nn.functional.pad(velocity_m_s[None, None], [EDGE] * 4, mode="replicate")[0, 0],
            spacing_m,
            args.step_s,
            source_amplitudes=wavelet,
            source_locations=sources,
            receiver_locations=receivers,
            accuracy=args.order,
            pml_width=PML,
            pml_freq=survey.peak_hz,
            max_vel=1000 * survey.v_max_km_s,
            courant_number=0.7,  # the default of 0.6 would halve our step; 0.7 leaves it as it is
            model_gradient_sampling_interval=args.every,
        )[-1]
        return time_dispersion.correct_receivers(traces, args.step_s) if args.time_dispersion else traces

    return gathers


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--gradient", action="store_true", help="sum of squares of the gathers and its gradient")
    parser.add_argument("--time-dispersion", action="store_true", help="corrected, as its module time_dispersion does")
    parser.add_argument("--every", type=int, default=1, help="steps between contributions to the gradient")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    gathers = propagator(args)
    steps = round(CHALLENGE.duration_s / args.step_s)

    def run(sample: Sample) -> np.ndarray:
        velocity = torch.from_numpy(1000 * coarse_velocity(sample.velocity, args.spacing_m))
        if not args.gradient:
            with torch.no_grad():
                return gathers(velocity).transpose(1, 2).numpy()[:, : steps + 1]
        velocity.requires_grad_()
        gathers(velocity).square().sum().backward()
        return velocity.grad.numpy()

    grid = [-(-n // round(args.spacing_m)) + 2 * (EDGE + PML) for n in CHALLENGE.model_shape]
    run(read_sample(args.samples[0]))  # its kernels come compiled; the first run still fills its caches
    measure(
        run,
        args,
        compile_s=0.0,
        dt_s=args.step_s,
        cells=grid[0] * grid[1],
        steps=steps,
        gradient=args.gradient,
        version=f"Deepwave {deepwave.__version__}",
    )


if __name__ == "__main__":
    main()
