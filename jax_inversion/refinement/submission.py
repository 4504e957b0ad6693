"""A test set refined into a submission, with the standard deviation of its models and what became of each sample."""

import contextlib
import dataclasses
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import backgrounds
from .. import config as configs
from ..config import Config
from ..data.folders import Sample, check_samples
from ..errors import UserError
from ..files import digest, save_array, write_aside
from ..inference.predictor import Predictor
from ..inference.submission import SubmissionWriter, read_spread, spread_path
from ..inference.submit import provenance, submit
from ..physics import SimulatorConfig, simulate
from ..runs import Run
from ..survey import Survey
from . import job
from .inversion import LAYOUT, Setting, refine
from .learn import learnt

log = logging.getLogger(__name__)


def rows_path(out: Path) -> Path:
    """Where what became of each sample of the refined submission ``out`` is told."""
    return out.with_name(f"{out.stem}_refinement.json")


def check_refinable(config: Config) -> SimulatorConfig:
    """How to simulate in refining. ``UserError``, before any work, where the settings do not allow it."""
    simulator = dataclasses.replace(config.simulator, spacing_m=config.refine.spacing_m)
    if config.refine.hold_out > config.survey.shots:
        raise UserError(f"refine.hold_out is shot {config.refine.hold_out}; the survey has {config.survey.shots}")
    model = jax.ShapeDtypeStruct(config.survey.model_shape, jnp.float32)
    try:
        jax.eval_shape(lambda velocity: simulate(velocity, config.survey, **simulator.options), model)
    except UserError as error:
        raise UserError(f"refine.{error}" if str(error).startswith("spacing_m") else str(error)) from None
    return simulator


def refine_arrays(predictor: Predictor, gathers: np.ndarray, start_km_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One sample refined: its velocity and that velocity's standard deviation, (x, depth) in km/s.

    ``gathers`` (shot, time, receiver) are recorded ones, or decimated. ``UserError`` for shapes of another survey.
    """
    recorded, setting = predictor.survey, setting_of(predictor.config, predictor.restored.survey)
    if start_km_s.shape != recorded.model_shape:
        raise UserError(f"the start is {start_km_s.shape}; right is {recorded.model_shape} (x, depth)")
    seen = predictor.decimated(gathers, cut=False)
    if len(seen) != 1:
        raise UserError(f"gathers of {len(seen)} samples, and one start; refine them one by one")
    found = refine(start_km_s, seen[0], background_of(predictor, setting), learnt(predictor), setting)
    return found.velocity_km_s, found.deviation_km_s


def background_of(predictor: Predictor, setting: Setting) -> np.ndarray:
    """The background's response (shot, time, receiver), decimated. Where nobody knows it, as on land, the median of the
    training samples' gathers, which whitening subtracts; where nothing is whitened, nothing.
    """
    known = backgrounds.background(setting.survey, setting.simulator)
    if known is not None:
        return known
    whitening = predictor.inputs.whitening
    return np.zeros(setting.survey.gathers_shape, np.float32) if whitening is None else np.asarray(whitening.background)


def keep_background(predictor: Predictor, setting: Setting) -> Path:
    """Where worker processes find it, beside the prior."""
    prior = Run(predictor.restored.run).prior(predictor.restored.label)
    path = prior.with_name(f"background_{predictor.restored.label}.npy")
    save_array(path, background_of(predictor, setting))
    return path.resolve()


def setting_of(config: Config, survey: Survey) -> Setting:
    """What all samples share; ``survey`` is the decimated one."""
    return Setting(survey, config.preprocess, check_refinable(config), config.refine)


def made_from(predictor: Predictor, samples: Sequence[Sample]) -> dict[str, Any]:
    """What a refined submission is made from, fit for JSON."""
    sections = configs.as_dict(predictor.config)
    idle = "on", "workers", "calibration_samples", "intervals"
    settings = {name: value for name, value in sections["refine"].items() if name not in idle}
    made = {"refine": settings, "refining": LAYOUT, "simulator": sections["simulator"]}
    return provenance(predictor, samples) | made


def predicted(predictor: Predictor, samples: Sequence[Sample], out: Path) -> Path:
    """The submission that is refined into ``out``: the run's own where that is of just these samples, else one beside
    ``out``, made now unless it is there. The members' spread lies beside either.
    """
    made, run = provenance(predictor, samples), Run(predictor.restored.run)
    own, start = run.submission(predictor.restored.label), out.with_name(f"{out.stem}_start.npz")
    if run.has(own.name, made) and _made_with_spread(own, made):
        return own
    if not _made_with_spread(start, made):
        submit(predictor, samples, start, made, uncertainty=True)
    return start


def _made_with_spread(submission: Path, made: dict[str, Any]) -> bool:
    with contextlib.suppress(UserError), read_spread(submission) as spread:
        return spread is not None and spread.made_from == made
    return False


def refine_submission(
    predictor: Predictor,
    samples: Sequence[Sample],
    out: Path,
    budget_s: float = np.inf,
    part_of: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Predict ``samples`` and refine them into ``out``, standard deviations beside it; what became of each.

    An interrupted one goes on. After ``budget_s`` the samples that are left come back as they were predicted, with the
    members' spread, and the same call later goes on with them. ``part_of`` is what the whole is made from that these
    are a part of. ``UserError`` for bad samples before any work.
    """
    check_samples(samples, predictor.survey, velocity=False)
    config, made = predictor.config, part_of or made_from(predictor, samples)
    setting = setting_of(config, predictor.restored.survey)
    learnt(predictor)
    start = predicted(predictor, samples, out)
    work = job.RefineJob(
        place=out.with_name(f"{out.stem}.refining"),
        samples=tuple(sample.path.resolve() for sample in samples),
        start=start.resolve(),
        prior=Run(predictor.restored.run).prior(predictor.restored.label).resolve(),
        background=keep_background(predictor, setting),
        recorded=predictor.survey,
        setting=setting,
    )
    rows = job.refined_samples(work, made | {"start": digest(start)}, setting.refine.workers, budget_s)
    with SubmissionWriter(out, made) as writer, SubmissionWriter(spread_path(out), made) as deviations:
        for sample_id, model, deviation in job.models(work, rows):
            writer.write(sample_id, model)
            deviations.write(sample_id, deviation)
    told = {row["id"]: row for row in rows.values()}
    with write_aside(rows_path(out)) as aside:
        aside.write_text(json.dumps(told, indent=1) + "\n")
    if len(rows) == len(samples):
        shutil.rmtree(work.place, ignore_errors=True)
    _say(told, samples, out)
    return told


def _say(told: dict[str, Any], samples: Sequence[Sample], out: Path) -> None:
    refined = [row for row in told.values() if row["scale"] > 0]
    log.info(f"{len(refined)} of {len(samples)} models refined in {out}")
    if refined:
        first, last = (np.mean([row["misfit"][when] for row in refined]) for when in ("start", "end"))
        seconds = np.mean([row["seconds"] for row in told.values()])
        log.info(
            f"misfit of the held-out shot {first:.3f} before, {last:.3f} after, on average; {seconds:.0f} s a sample"
        )
    for row in told.values():
        if not row["scale"]:
            log.info(f"{row['id']} comes back as it was predicted: {row['reason']}")
    if left := len(samples) - len(told):
        log.info(f"{left} samples come back as they were predicted: the budget is spent; the same command goes on")
