"""Quality control of predictions without the truth: the gathers that they would make, beside those observed."""

import dataclasses
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..data.folders import Sample, read_gathers
from ..data.preprocess import decimate
from ..data.statistics import evenly
from ..files import write_aside
from ..inference.predictor import Predictor
from ..inference.stored import predict_stored, stored_samples
from ..inference.submission import quality_path, read_submission
from ..physics import SimulatorConfig, simulate
from ..progress import track
from ..resampling import resize
from ..survey import Survey
from .inversion import Setting
from .objective import Band, Observed, filtered, misfits, options, plain
from .submission import background_of, setting_of

USUAL = "usual"  # in a model file: the misfits of predictions of validation samples
_ENOUGH = 60  # of these

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Quality:
    """``misfit``: root mean square of the whitened difference between observed and predicted gathers, over that of what
    the section adds to the background's response; ``above`` is the share of the usual misfits that are smaller.
    Gathers (shot, time, receiver), decimated.
    """

    misfit: float
    above: float
    observed: Float[np.ndarray, "shot time receiver"]
    predicted: Float[np.ndarray, "shot time receiver"]
    background: Float[np.ndarray, "shot time receiver"]

    @property
    def unlike(self) -> bool:
        """Further from its data than every validation sample is: unlike what was trained on."""
        return self.above == 1

    @property
    def said(self) -> dict[str, Any]:
        """What is told of it, fit for JSON."""
        return {"misfit": self.misfit, "above": self.above, "unlike": self.unlike}


@lru_cache(maxsize=2)  # of predictors, which are asked again and again
def usual(predictor: Predictor) -> Float[np.ndarray, " n"]:
    """Misfits, rising, of the predictions of the run's validation samples, or those that its model file brings.

    ``UserError`` where there is neither.
    """
    brought = predictor.restored.extras.get(USUAL)
    if brought is not None:
        return brought
    samples = stored_samples(predictor)
    rows = samples.validation[evenly(len(samples.validation), _ENOUGH)]
    stored = predict_stored(predictor, samples, rows, "usual misfits")
    setting, shape = setting_of(predictor.config, samples.store.survey), predictor.survey.model_shape
    known = background_of(predictor, setting)
    models = (np.asarray(resize(model, shape)) for model in stored.models)
    seen = zip(rows, models, strict=True)
    found = [_look(model, samples.store.gathers[row], known, setting)[0] for row, model in seen]
    return np.sort(np.array(found, np.float32))


def qualities(
    predictor: Predictor, samples: Sequence[Sample], submission: Path, ordinary: Float[np.ndarray, " n"]
) -> Iterator[tuple[str, Quality]]:
    """(id, quality) of each of the ``samples``, whose models are in ``submission``, among ``ordinary`` misfits."""
    recorded, setting = predictor.survey, setting_of(predictor.config, predictor.restored.survey)
    known = background_of(predictor, setting)
    with read_submission(submission) as models:
        for sample in track(samples, len(samples), "quality"):
            gathers = decimate(read_gathers(sample, recorded), recorded.dt_s, setting.survey.dt_s)
            model = models.read(sample.id, recorded.model_shape).astype(np.float32)
            yield sample.id, _quality(model, gathers, known, setting, ordinary)


def quality_of(predictor: Predictor, gathers: np.ndarray, model: np.ndarray) -> Quality:
    """Of one sample: its recorded (or decimated) gathers (shot, time, receiver) and a model (x, depth) in km/s."""
    setting = setting_of(predictor.config, predictor.restored.survey)
    seen = predictor.decimated(gathers, cut=False)[0]
    return _quality(model, seen, background_of(predictor, setting), setting, usual(predictor))


def write(told: Mapping[str, Mapping[str, Any]], submission: Path) -> Path:
    """Keep beside ``submission`` what is told of its samples, by id."""
    path = quality_path(submission)
    with read_submission(submission) as models:
        made_from = models.made_from
    with write_aside(path) as aside:
        aside.write_text(json.dumps({"made_from": made_from, "samples": told}, indent=1) + "\n")
    unlike = [name for name, row in told.items() if row["unlike"]]
    mean = np.mean([row["misfit"] for row in told.values()])
    log.info(f"misfit {mean:.3f} of the whitened data on average; each sample's in {path}")
    for name in unlike:
        log.warning(
            "sample %s: misfit %.2f, above all validation samples': unlike what was trained on",
            name, told[name]["misfit"],
        )  # fmt: skip
    return path


def _quality(
    model: np.ndarray, gathers: np.ndarray, background: np.ndarray, setting: Setting, ordinary: np.ndarray
) -> Quality:
    misfit, predicted = _look(model, gathers, background, setting)
    return Quality(misfit, float(np.mean(ordinary < misfit)), gathers, predicted, background)


def _look(
    model: np.ndarray, gathers: np.ndarray, background: np.ndarray, setting: Setting
) -> tuple[float, Float[np.ndarray, "shot time receiver"]]:
    every = np.ones(setting.survey.shots, np.float32)
    observed = Observed(*(jnp.asarray(array, jnp.float32) for array in (model, gathers, background, every)))
    widest = plain(setting.survey, setting.preprocess, setting.refine.bands_hz[-1])
    misfit, predicted = _predicted(observed, widest, survey=setting.survey, simulator=setting.simulator)
    return float(misfit), np.asarray(predicted)


@partial(jax.jit, static_argnames=("survey", "simulator"))
def _predicted(observed: Observed, widest: Band, *, survey: Survey, simulator: SimulatorConfig) -> tuple[Any, Any]:
    gathers = simulate(observed.start_km_s, survey, **options(simulator, observed))
    return misfits(widest, observed, filtered(widest, observed.gathers - gathers)).fitted, gathers
