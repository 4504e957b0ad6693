"""Draw the pages' figures from the program's own functions: ``python docs/figures/draw.py``."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt

from jax_inversion import CHALLENGE
from jax_inversion.data import whiten
from jax_inversion.physics.stencil import second_derivative

HERE = Path(__file__).parent
SLOW_M_S = 1500.0


def phase_error(hz: np.ndarray, spacing_m: float, order: int, like: float = 0.0) -> np.ndarray:
    """Phase velocity's relative error by the stencil alone, in water, in percent."""
    angle = 2 * np.pi * hz / SLOW_M_S * spacing_m
    centre, *taps = second_derivative(order, like)
    symbol = centre + 2 * sum(tap * np.cos(j * angle) for j, tap in enumerate(taps, 1))
    return 100 * (np.sqrt(-symbol) / angle - 1)


def dispersion() -> None:
    hz = np.linspace(1, 45, 200)
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    for spacing_m, order, like, label, style in (
        (1.0, 2, 0.0, "the reference: order 2, 1 m", dict(color="0.6", lw=5)),
        (5.0, 8, 0.0, "order 8, 5 m, plain", dict(ls="--")),
        (5.0, 8, 0.2, "order 8, 5 m, imitating the reference", dict()),
        (10.0, 8, 0.0, "order 8, 10 m, plain", dict(ls="--")),
        (10.0, 8, 0.1, "order 8, 10 m, imitating the reference", dict()),
    ):
        axes.plot(hz, phase_error(hz, spacing_m, order, like), label=label, **style)
    axes.set(xlabel="frequency (Hz)", ylabel="error of phase velocity (%)", ylim=(-0.25, 0.03), xlim=(0, 45))
    axes.legend(fontsize=8)
    figure.savefig(HERE / "dispersion.png", dpi=110)


def whitening() -> None:
    survey = CHALLENGE.with_interval(0.004)
    hz, spectrum = whiten.frequencies_hz(survey), whiten.wavelet_spectrum(survey)
    response = np.exp(-((hz / 25) ** 4) / 2) / np.maximum(spectrum, 0.03)
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    axes.loglog(hz, spectrum, label="Ricker wavelet, 15 Hz")
    axes.loglog(hz, response, label="whitening, floor 0.03, low-pass 25 Hz")
    axes.loglog(hz, spectrum * response, label="their product")
    axes.set(xlabel="frequency (Hz)", ylabel="amplitude", xlim=(0.5, 60), ylim=(1e-3, 60))
    axes.legend(fontsize=8)
    figure.savefig(HERE / "whitening.png", dpi=110)


if __name__ == "__main__":
    dispersion()
    whitening()
