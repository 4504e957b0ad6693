"""Simulated samples straight into a packed store, at the preprocessing interval: no gathers of 0.1 ms on the disk.

Workers write rows of the store that is being filled, and a journal says which rows are whole: a set that is interrupted
goes on where it was. Sample k depends on the set's seed and k alone.
"""

import dataclasses
import functools
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .. import geology
from ..data.rows import GATHERS, VELOCITIES, Sums
from ..files import digest
from ..npy import open_mapped
from ..physics.settings import SimulatorConfig
from ..resampling import resize
from ..survey import Survey
from .job import drawn, filled, simulated


@dataclass(frozen=True)
class StockJob:
    """All that the samples of one store have in common. ``survey`` has the store's interval, ``shape`` is that of its
    models (x, depth), ``place`` the folder that is being filled, whose first row is sample ``first``.

    Models are drawn from ``geology``, or the rows of the array in the file ``given``; a store of these, which others
    know, has gathers only.
    """

    place: Path
    survey: Survey
    shape: tuple[int, int]
    seed: int = 0
    geology: str = ""
    simulator: SimulatorConfig = field(default_factory=SimulatorConfig)
    first: int = 0
    given: Path | None = None

    @property
    def made_from(self) -> dict[str, Any]:
        """All that its samples depend on besides their numbers, fit for JSON."""
        made = {"survey": self.survey.as_dict(), "simulator": dataclasses.asdict(self.simulator), "shape": self.shape}
        models = {"geology": self.geology, "seed": self.seed} if self.given is None else {"given": digest(self.given)}
        return json.loads(json.dumps(made | models))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of a sample's arrays, by the file that they are in."""
        models = {} if self.given is not None else {VELOCITIES: self.shape}
        return {GATHERS: self.survey.gathers_shape, **models}

    def id_of(self, k: int) -> str:
        """The name of sample ``k``."""
        if self.given is not None:
            return f"{self.given.stem}-{k:08d}"
        return f"{geology.preset_of(self.geology, self.seed, k)}-s{self.seed}-{k:08d}"

    def make(self, k: int) -> dict[str, int | float]:
        """Draw and simulate sample ``k`` into its row; sums over its amplitudes and a checksum of the row."""
        velocity = self._velocity(k)
        return self._keep(k, velocity, simulated(velocity, self.survey, self.simulator))

    def together(self, ks: Sequence[int], size: int) -> list[dict[str, int | float]]:
        """``make`` for several samples, simulated as a batch of ``size``."""
        velocities = np.stack([self._velocity(k) for k in ks])
        gathers = simulated(filled(velocities, size), self.survey, self.simulator)
        return [self._keep(*each) for each in zip(ks, velocities, gathers[: len(ks)], strict=True)]

    def _keep(self, k: int, velocity: np.ndarray, gathers: np.ndarray) -> dict[str, int | float]:
        row, gathers = k - self.first, gathers.astype(np.float32)
        self._arrays[GATHERS][row] = gathers
        if VELOCITIES in self._arrays:
            self._arrays[VELOCITIES][row] = resize(velocity, self.shape)
        return {"row": row, "crc": self.crc(row), **vars(Sums.of(gathers))}

    def crc(self, row: int) -> int:
        """Checksum of what a row holds."""
        return functools.reduce(lambda crc, array: zlib.crc32(array[row].tobytes(), crc), self._arrays.values(), 0)

    def _velocity(self, k: int) -> np.ndarray:
        if self.given is not None:
            return np.asarray(resize(self._given[k], self.survey.model_shape))
        return drawn(self.survey, self.geology, self.seed, k)

    @cached_property
    def _given(self) -> np.ndarray:
        assert self.given is not None
        return open_mapped(self.given)

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        return {name: open_mapped(self.place / name, "r+") for name in self.shapes}
