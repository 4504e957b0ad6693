"""One simulated sample: its id, its model, its gathers, its files."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from .. import backgrounds, geology, physics
from ..arrays import Velocity
from ..data.folders import MODEL_FILE, Sample, find_samples, gather_files, read_velocity, write_sample
from ..errors import UserError
from ..files import digest, save_array, write_aside
from ..npy import BadArray, open_mapped
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

    @property
    def place(self) -> Path:
        """Where its samples go."""
        return self.out

    @cached_property
    def models(self) -> list[Sample]:
        """The samples whose models are blended or simulated, sorted by id."""
        root = self.blend or self.source
        if root is None:
            return []
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

    def id_of(self, k: int) -> str:
        """The name of sample ``k``: the same in every run and shard."""
        if self.source is not None:
            return self.models[k].id
        preset = "blend" if self.blend is not None else geology.preset_of(self.geology, self.seed, k)
        return f"{preset}-s{self.seed}-{k:08d}"

    def make(self, k: int) -> None:
        """Draw, simulate and write sample ``k``, whole or not at all."""
        velocity = self._velocity(k)
        self._write(k, velocity, simulated(velocity, self.survey, self.simulator))

    def together(self, ks: Sequence[int], size: int) -> list[None]:
        """``make`` for several samples, simulated as a batch of ``size``."""
        velocities = np.stack([self._velocity(k) for k in ks])
        gathers = simulated(filled(velocities, size), self.survey, self.simulator)
        return [self._write(*each) for each in zip(ks, velocities, gathers[: len(ks)], strict=True)]

    def _write(self, k: int, velocity: np.ndarray, gathers: np.ndarray) -> None:
        if isinstance(self.truth, Path):
            with write_aside(self.truth / self.id_of(k)) as aside:
                aside.mkdir()
                save_array(aside / MODEL_FILE, np.asarray(velocity, np.float64))
        write_sample(self.out, self.id_of(k), self.survey, gathers, velocity if self.truth is True else None)

    def has(self, k: int) -> bool:
        """Whether sample ``k`` lies in ``out`` with all its files, each of its full length."""
        folder = self.out / self.id_of(k)
        shape = self.survey.gathers_shape[1:]
        wanted = [(folder / name, shape) for name in gather_files(self.survey)]
        if self.truth:
            place = folder if self.truth is True else self.truth / self.id_of(k)
            wanted.append((place / MODEL_FILE, self.survey.model_shape))
        try:
            return all(open_mapped(path).shape == right for path, right in wanted)
        except (OSError, BadArray, UserError):
            return False

    def _velocity(self, k: int) -> np.ndarray:
        """The model (x, depth) of sample ``k`` in km/s, float32."""
        if self.source is not None:
            return read_velocity(self.models[k], self.survey)
        if self.blend is not None:
            return np.asarray(_blended(self, sample_key(self.seed, k)))
        return drawn(self.survey, self.geology, self.seed, k)


def sample_key(seed: int, k: int) -> Array:
    """What the model of sample ``k`` of a set is drawn from."""
    return jax.random.fold_in(jax.random.key(seed), k)


def drawn(survey: Survey, mixture: str, seed: int, k: int) -> np.ndarray:
    """The random model (x, depth) of sample ``k`` of a set in km/s, float32."""
    return np.asarray(geology.draw(sample_key(seed, k), survey, geology.preset_of(mixture, seed, k)))


def filled(arrays: np.ndarray, size: int) -> np.ndarray:
    """The last one again until there are ``size``, so that one program does for all batches."""
    return np.concatenate([arrays, np.repeat(arrays[-1:], size - len(arrays), axis=0)])


def simulated(velocity: Velocity, survey: Survey, simulator: SimulatorConfig) -> np.ndarray:
    """Gathers (*batch, shot, time, receiver) of models. ``ArithmeticError`` where they are not finite."""
    gathers = np.asarray(physics.simulate(velocity, survey, **backgrounds.options(survey, simulator)))
    if not np.isfinite(gathers).all():
        raise ArithmeticError("the simulated gathers hold NaN or infinity")
    return gathers


def _blended(job: Job, key: Array) -> Velocity:
    k_choice, k_blend = jax.random.split(key)
    chosen = jax.random.choice(k_choice, len(job.models), (min(BLENDED, len(job.models)),), replace=False)
    models = np.stack([read_velocity(job.models[int(i)], job.survey) for i in chosen])
    return jax.jit(geology.blend)(k_blend, models)
