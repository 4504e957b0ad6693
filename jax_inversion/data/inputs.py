"""What networks and regressions see of decimated gathers, fitted to a training set once and kept in its checkpoints."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..arrays import Gathers
from ..errors import UserError
from ..start import Start
from ..survey import Survey
from . import whiten
from .preprocess import PreprocessConfig, normalise

ENOUGH = 256  # samples to fit floor and scale to
_LONGEST = 4096  # rows of a trace: the whitening is a matrix of their square
_NAMES = {"operator": "whiten_operator", "background": "whiten_background", "scale": "whiten_scale"}


@dataclass(frozen=True, eq=False)
class Inputs:
    """From gathers to the network's input in two steps, so that augmentation works on what the section adds.

    ``survey`` is the decimated one, ``std`` the standard deviation of the training amplitudes.
    """

    settings: PreprocessConfig
    survey: Survey
    std: float
    whitening: whiten.Whitening | None = None

    def residual(self, gathers: Gathers) -> Float[Array, "*batch shot time receiver"]:
        """Gathers (*batch, shot, time, receiver) without the background's response, where they are to be whitened.

        Mirrors, shifts and gains belong here: the direct wave is not that of the mirrored survey, a cell off.
        """
        return jnp.asarray(gathers) if self.whitening is None else self.whitening.difference(gathers)

    def scaled(self, residual: Gathers) -> Float[Array, "*batch shot time receiver"]:
        """What the network sees of a ``residual``: of about unit variance, then compressed where that is asked for."""
        if self.whitening is None:
            return normalise(residual, self.std, self.survey.dt_s, self.settings)
        white, arcsinh = self.whitening.filtered(residual), self.settings.arcsinh
        return jnp.arcsinh(arcsinh * white) / arcsinh if arcsinh else white

    def without_background(self, base: Start) -> Start:
        """A base with the ``residual`` of its gathers, fit for mirrors."""
        return base if base.gathers is None else base._replace(gathers=self.residual(base.gathers))

    def start(self, residual: Gathers, base: Start) -> Start:
        """What a network sees of a ``base`` ``without_background`` beside a ``residual``."""
        left = None if base.gathers is None else self.scaled(residual - base.gathers)
        return Start(base.velocity, left)

    def __call__(self, gathers: Gathers) -> Float[Array, "*batch shot time receiver"]:
        return self.scaled(self.residual(gathers))

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """What was fitted, for a checkpoint."""
        if self.whitening is None:
            return {}
        return {name: np.asarray(getattr(self.whitening, field), np.float32) for field, name in _NAMES.items()}


def fit(
    settings: PreprocessConfig,
    survey: Survey,
    std: float,
    gathers: np.ndarray,
    background: np.ndarray | None,
) -> Inputs:
    """Learn what the settings leave to training ``gathers`` (sample, shot, time, receiver), decimated; some will do.

    ``background`` (shot, time, receiver) is the response without a section; None where nobody knows it: then it is the
    median of the gathers, and the wavelet's spectrum is estimated from their direct wave, unless the settings say which
    it is.
    """
    if not settings.whiten:
        return Inputs(settings, survey, std)
    if survey.nt > _LONGEST:
        raise UserError(
            f"preprocess.whiten takes at most {_LONGEST} samples a trace, here are {survey.nt}; raise its dt_s"
        )
    estimated = {"auto": background is None, "ricker": False, "estimated": True}[settings.whiten_spectrum]
    spectrum = whiten.estimate_spectrum(gathers, survey) if estimated else None
    if background is None:
        background = np.median(gathers, axis=0)
    options = whiten.WhitenSettings(settings.whiten_floor, settings.low_pass_hz, settings.gain_power)
    return Inputs(settings, survey, std, whiten.fit(gathers, survey, background, options, spectrum))


def from_arrays(settings: PreprocessConfig, survey: Survey, std: float, arrays: Mapping[str, np.ndarray]) -> Inputs:
    """The inverse of ``Inputs.arrays``."""
    if not settings.whiten:
        return Inputs(settings, survey, std)
    operator, background, scale = (arrays[name] for name in _NAMES.values())
    return Inputs(settings, survey, std, whiten.Whitening(operator, background, float(scale)))
