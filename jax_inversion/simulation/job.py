"""One simulated sample: its id, its model, its gathers, its files."""

import dataclasses
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from .. import geology, physics
from ..arrays import Velocity
from ..data.folders import MODEL_FILE, Sample, find_samples, gather_files, read_velocity, write_sample
from ..errors import UserError
from ..files import digest, save_array, write_aside
from ..physics.settings import SimulatorConfig
from ..survey import Survey

BLENDED = 3  # models in one blend: the mean of many would be smooth


@dataclass(frozen=True)
class Job:
    """All that the samples of one run have in common; sample k depends on the job and on k, on nothing else.

    Models are drawn from ``geology``, or blended from those of samples below ``blend``, or are those below ``source``.
    ``truth``: True puts the model into the sample's folder, False nowhere, a path into that folder's.
    """

    out: Path
    survey: Survey
    seed: int = 0
    geology: str = "marine"
    blend: Path | None = None
    source: Path | None = None
    truth: bool | Path = True
    simulator: SimulatorConfig = field(default_factory=SimulatorConfig)

    @cached_property
    def models(self) -> list[Sample]:
        """The samples whose models are blended or simulated, sorted by id."""
        root = self.blend or self.source
        return [s for s in find_samples(root, None, self.survey) if (s.path / MODEL_FILE).exists()]

    @property
    def set_name(self) -> str:
        """What the ids of its samples begin with; given models keep their own."""
        preset = "blend" if self.blend is not None else self.geology
        return "given" if self.source is not None else f"{preset}-s{self.seed}"

    @cached_property
    def made_from(self) -> dict[str, Any]:
        """All that its samples depend on besides their number, fit for JSON: settings by section, models by digest."""
        made = {"survey": self.survey.as_dict(), "simulator": dataclasses.asdict(self.simulator)}
        made = json.loads(json.dumps(made))  # lists for tuples, as it is read back
        if self.blend is None and self.source is None:
            return made | {"models": {"geology": self.geology, "seed": self.seed}}
        digests = {sample.id: digest(sample.path / MODEL_FILE) for sample in self.models}
        return made | {"given" if self.source is not None else "blended": digests}


def ids_of(job: Job, ks: range) -> list[str]:
    """Names of samples ``ks``: the same k has the same name in every run and shard."""
    if job.source is not None:
        return [sample.id for sample in job.models[ks.start : ks.stop]]
    return [f"{job.set_name}-{k:08d}" for k in ks]


def is_whole(job: Job, sample_id: str) -> bool:
    """Whether the sample lies in ``job.out`` with all its files, so that there is nothing left to do for it.

    ``UserError`` where its gathers are of another survey's shape.
    """
    folder, names = job.out / sample_id, list(gather_files(job.survey))
    truth = folder if job.truth is True else job.truth / sample_id if job.truth else None
    wanted = [folder / name for name in names] + ([truth / MODEL_FILE] if truth else [])
    if not all(path.is_file() for path in wanted):
        return False
    try:
        shape = np.load(wanted[0], mmap_mode="r", allow_pickle=False).shape
    except (OSError, ValueError, EOFError):
        return False
    expected = job.survey.gathers_shape[1:]
    if shape != expected:
        raise UserError(f"{wanted[0]}: shape is {shape}, this survey's is {expected}; give another --out")
    return True


def make(job: Job, k: int) -> None:
    """Draw, simulate and write sample ``k``, whole or not at all."""
    (sample_id,) = ids_of(job, range(k, k + 1))
    velocity = _velocity(job, k)
    gathers = np.asarray(physics.simulate(velocity, job.survey, **job.simulator.options))
    if not np.isfinite(gathers).all():
        raise ArithmeticError("the simulated gathers hold NaN or infinity")
    velocity = np.asarray(velocity)
    if isinstance(job.truth, Path):
        with write_aside(job.truth / sample_id) as aside:
            aside.mkdir()
            save_array(aside / MODEL_FILE, velocity.astype(np.float64))
    write_sample(job.out, sample_id, job.survey, gathers, velocity if job.truth is True else None)


def _velocity(job: Job, k: int) -> Velocity:
    """The model (x, depth) of sample ``k`` in km/s, float32."""
    if job.source is not None:
        return read_velocity(job.models[k], job.survey)
    key = jax.random.fold_in(jax.random.key(job.seed), k)
    return geology.draw(key, job.survey, job.geology) if job.blend is None else _blended(job, key)


def _blended(job: Job, key: Array) -> Velocity:
    k_choice, k_blend = jax.random.split(key)
    chosen = jax.random.choice(k_choice, len(job.models), (min(BLENDED, len(job.models)),), replace=False)
    models = np.stack([read_velocity(job.models[int(i)], job.survey) for i in chosen])
    return jax.jit(geology.blend)(k_blend, models)
