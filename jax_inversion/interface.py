"""The functions of the Python interface: what the front doors do with folders, with arrays."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jax import Array

from . import backgrounds, metrics, physics
from .arrays import Gathers, numbers
from .errors import UserError
from .inference.prediction import Prediction
from .inference.predictor import Predictor
from .physics import SimulatorConfig
from .survey import CHALLENGE, Survey

if TYPE_CHECKING:
    from .plots.canvas import Figure
    from .refinement.quality import Quality

AnyArray = Array | np.ndarray  # shapes are checked here, with words for the user


def load(ckpt: Path | str, overrides: Sequence[str] = ()) -> Predictor:
    """A trained ensemble: a run's best checkpoint, RUN/latest, RUN/epoch_10, a file that ``export`` wrote, or
    "pretrained", the package's own.

    ``overrides`` change the [infer] and [refine] sections, as in ``load(RUN, ["--infer.mirror", "false"])``.
    ``UserError`` for a checkpoint that is missing or damaged.
    """
    if not isinstance(ckpt, str | PathLike):
        raise UserError(f"load: {ckpt!r} is no path; right is a run, a model file or 'pretrained'")
    return Predictor.load(ckpt, overrides, sections=("infer", "refine"))


def simulate(velocity_km_s: AnyArray, survey: Survey = CHALLENGE, **settings: Any) -> Gathers:
    """Gathers (shot, time, receiver) of a velocity model (x, depth) in km/s, or of several.

    ``settings`` are those of [simulator]: ``spacing_m=10``, ``boundary="cpml"``, ``free_surface=True``, ... Works under
    ``jax.jit``, ``jax.vmap`` and ``jax.grad`` with respect to the model. Every 0.1 ms in the challenge's survey;
    ``survey.with_interval(0.004)`` asks for fewer samples. ``UserError`` for a model of another shape.
    """
    try:
        simulator = SimulatorConfig(**settings)
    except TypeError as error:
        known = ", ".join(SimulatorConfig.__dataclass_fields__)
        raise UserError(f"simulate: {str(error).split('() ')[-1]}; settings are {known}") from None
    return physics.simulate(velocity_km_s, survey, **backgrounds.options(survey, simulator))


def refine(
    predictor: Predictor, gathers: AnyArray, start: Prediction | AnyArray, intervals: float | None = None
) -> Prediction:
    """The prediction ``start`` of a sample, corrected until its simulated gathers agree with those recorded.

    It comes back as it was where that helps nothing, see ``refinement.inversion.refine``; ``spread_km_s`` is the
    posterior's standard deviation. The prior is learnt from the run's packed samples, once, or a model file brings it.
    ``intervals``, such as 0.9, adds models between which that share of the cells is to lie: what these need refines
    validation samples of the run, once, in minutes, unless a model file brings it. ``UserError`` where there are no
    samples, and for shapes that are not the survey's.
    """
    from .inference.intervals import bounds, chosen
    from .refinement import calibration
    from .refinement.submission import refine_arrays

    known = None if intervals is None else calibration.table(predictor)
    velocity, spread = refine_arrays(predictor, numbers("gathers", gathers), _models(start).astype(np.float32))
    low = high = None
    if known is not None and intervals is not None:
        factors = chosen(known, intervals, str(predictor.restored.path))
        low, high = bounds(velocity, spread, factors, predictor.survey)
    return Prediction(velocity, spread, predictor.survey, None, low, high, intervals)


def quality(predictor: Predictor, gathers: AnyArray, prediction: Prediction | AnyArray) -> "Quality":
    """How far the gathers of a prediction (x, depth), simulated, are from those recorded, without the truth.

    ``misfit`` is what is left of the whitened data; ``above`` the share of the run's validation samples that are
    nearer to theirs; ``unlike`` whether all are. With ``observed`` and ``predicted`` gathers. ``UserError`` where
    the run has no packed samples.
    """
    from .refinement.quality import quality_of

    velocity = _models(prediction)
    if velocity.shape != predictor.survey.model_shape:
        raise UserError(f"the prediction is {velocity.shape}; right is {predictor.survey.model_shape} (x, depth)")
    return quality_of(predictor, numbers("gathers", gathers), velocity.astype(np.float32))


def score(truth: AnyArray, prediction: Prediction | AnyArray, survey: Survey | None = None) -> dict[str, float]:
    """MAPE (a fraction, as the challenge defines it), MAE and RMSE in km/s, and SSIM of models (*sample, x, depth).

    SSIM is relative to the velocities of ``survey``: unless given the prediction's, of arrays the challenge's.
    """
    survey = survey or (prediction.survey if isinstance(prediction, Prediction) else CHALLENGE)
    found, true = _models(prediction), numbers("truth", truth)
    if found.shape != true.shape:
        raise UserError(f"the prediction is {found.shape}, the truth {true.shape}; right are equal shapes (x, depth)")
    plain = {name: float(getattr(metrics, name)(found, true)) for name in ("mape", "mae", "rmse")}
    return plain | {"ssim": metrics.ssim(found, true, survey.v_min_km_s, survey.v_max_km_s)}


def plot_model(
    model: Prediction | AnyArray,
    survey: Survey | None = None,
    *,
    truth: AnyArray | None = None,
    title: str = "",
) -> "Figure":
    """A figure of a model (x, depth) in km/s and its profiles; a prediction's spread and the ``truth`` beside it."""
    from . import plots

    if isinstance(model, Prediction):
        if model.velocity_km_s.ndim != 2:
            raise UserError("plot_model draws one model (x, depth); predict one sample, or give one of velocity_km_s")
        return plots.comparison(
            truth, model.velocity_km_s, survey or model.survey, spread=model.spread_km_s, title=title
        )
    velocity = _models(model)
    if velocity.ndim != 2:
        raise UserError(f"the model is {velocity.shape}; right is one model (x, depth)")
    return plots.comparison(truth, velocity, (survey or CHALLENGE).on_grid(velocity.shape), title=title)


def plot_gathers(
    gathers: AnyArray,
    survey: Survey = CHALLENGE,
    *,
    gain: Literal["none", "power", "agc"] = "power",
    title: str = "",
) -> "Figure":
    """A figure of a sample's gathers, every shot beside the next, with amplitudes that grow with time."""
    from . import plots

    gathers = numbers("gathers", gathers)
    if gathers.shape != survey.gathers_shape:
        raise UserError(f"gathers are {gathers.shape}; right is {survey.gathers_shape} (shot, time, receiver)")
    return plots.gather_panel(gathers, survey, gain=gain, title=title)


def _models(given: Prediction | AnyArray) -> np.ndarray:
    return numbers("the model", given.velocity_km_s if isinstance(given, Prediction) else given)
