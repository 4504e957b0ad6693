"""What the simulator leaves of gathers whose model is known, and how much of it a shot's receivers share.

    python -m benchmarks.shared_noise --data DIR

``DIR`` holds samples of the challenge's survey with their models, made by another simulator. Gathers are whitened up to
25 Hz. A row for each degree of the polynomials along the receivers that are taken out first: 0 is their mean.
"""

import argparse
from pathlib import Path

import numpy as np

from jax_inversion import backgrounds
from jax_inversion.data.folders import find_samples, read_gathers, read_velocity
from jax_inversion.data.preprocess import PreprocessConfig, decimate
from jax_inversion.physics import SimulatorConfig, simulate
from jax_inversion.refinement.objective import filtered, plain, shared_basis
from jax_inversion.survey import CHALLENGE, Survey

DEGREES = (None, 0, 1, 2, 3)
HZ = (1, 2, 4, 6, 8, 12, 20)
LENGTH = 512  # samples that spectra are padded to


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--spacing", type=float, default=10.0, metavar="M", help="cells of our simulator")
    options = parser.parse_args()
    survey = CHALLENGE.with_interval(4e-3)
    simulator = SimulatorConfig(spacing_m=options.spacing)
    whole = plain(survey, PreprocessConfig(dt_s=survey.dt_s, whiten=True, gain_power=1.0), 25.0)
    water, data, left = backgrounds.background(survey, simulator), [], []
    for sample in find_samples(options.data, None, CHALLENGE):
        observed = decimate(read_gathers(sample, CHALLENGE), CHALLENGE.dt_s, survey.dt_s)
        model = read_velocity(sample, CHALLENGE).astype(np.float32)
        ours = np.asarray(simulate(model, survey, **backgrounds.options(survey, simulator)))
        data.append(np.asarray(filtered(whole, observed - water)))
        left.append(np.asarray(filtered(whole, observed - ours)))
    told = [f"{hz} Hz" for hz in HZ]
    print(f"{'taken out':<12}{'mean %':>8}{'worst %':>8}" + "".join(f"{each:>8}" for each in told))
    for degree in DEGREES:
        rest = [_without(degree, each, survey) for each in left]
        shares = [np.sqrt(np.square(a).mean() / np.square(b).mean()) for a, b in zip(rest, data, strict=True)]
        spectra = _spectrum(np.stack(rest), survey.dt_s) / _spectrum(np.stack(data), survey.dt_s)
        name = "nothing" if degree is None else f"degree {degree}"
        row = f"{name:<12}{100 * np.mean(shares):8.2f}{100 * max(shares):8.2f}"
        print(row + "".join(f"{100 * share:8.2f}" for share in spectra))


def _without(degree: int | None, traces: np.ndarray, survey: Survey) -> np.ndarray:
    if degree is None:
        return traces
    basis = shared_basis(survey, degree + 1)
    return traces - traces @ basis @ basis.T


def _spectrum(traces: np.ndarray, dt_s: float) -> np.ndarray:
    """Root mean square over samples, shots and receivers, at ``HZ``."""
    power = (np.abs(np.fft.rfft(traces, LENGTH, axis=2)) ** 2).mean((0, 1, 3))
    return np.sqrt(np.interp(HZ, np.fft.rfftfreq(LENGTH, dt_s), power))


if __name__ == "__main__":
    main()
