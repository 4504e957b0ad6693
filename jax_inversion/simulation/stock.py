"""Simulated samples straight into a packed store, at the preprocessing interval: no gathers of 0.1 ms on the disk.

Workers write rows of the store that is being filled, and a journal says which rows are whole: a set that is interrupted
goes on where it was. Sample k depends on the set's seed and k alone.
"""

import dataclasses
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
from ..npy import open_mapped
from ..physics.settings import SimulatorConfig
from ..resampling import resize
from ..survey import Survey
from .job import drawn, filled, simulated


@dataclass(frozen=True)
class StockJob:
    """All that the samples of one store have in common. ``survey`` has the store's interval, ``shape`` is that of its
    models (x, depth), ``place`` the folder that is being filled, whose first row is sample ``first``.
    """

    place: Path
    survey: Survey
    shape: tuple[int, int]
    seed: int
    geology: str
    simulator: SimulatorConfig = field(default_factory=SimulatorConfig)
    first: int = 0

    @property
    def made_from(self) -> dict[str, Any]:
        """All that its samples depend on besides their numbers, fit for JSON."""
        made = {"survey": self.survey.as_dict(), "simulator": dataclasses.asdict(self.simulator), "shape": self.shape}
        return json.loads(json.dumps(made | {"geology": self.geology, "seed": self.seed}))

    def id_of(self, k: int) -> str:
        """The name of sample ``k``."""
        return f"{geology.preset_of(self.geology, self.seed, k)}-s{self.seed}-{k:08d}"

    def make(self, k: int) -> dict[str, int | float]:
        """Draw and simulate sample ``k`` into its row; sums over its amplitudes and a checksum of the row."""
        velocity = drawn(self.survey, self.geology, self.seed, k)
        return self._keep(k, velocity, simulated(velocity, self.survey, self.simulator))

    def together(self, ks: Sequence[int], size: int) -> list[dict[str, int | float]]:
        """``make`` for several samples, simulated as a batch of ``size``."""
        velocities = np.stack([drawn(self.survey, self.geology, self.seed, k) for k in ks])
        gathers = simulated(filled(velocities, size), self.survey, self.simulator)
        return [self._keep(*each) for each in zip(ks, velocities, gathers[: len(ks)], strict=True)]

    def _keep(self, k: int, velocity: np.ndarray, gathers: np.ndarray) -> dict[str, int | float]:
        row, gathers = k - self.first, gathers.astype(np.float32)
        self._arrays[GATHERS][row], self._arrays[VELOCITIES][row] = gathers, resize(velocity, self.shape)
        return {"row": row, "crc": self.crc(row), **vars(Sums.of(gathers))}

    def crc(self, row: int) -> int:
        """Checksum of what a row holds."""
        gathers, velocities = (self._arrays[name][row].tobytes() for name in (GATHERS, VELOCITIES))
        return zlib.crc32(velocities, zlib.crc32(gathers))

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        return {name: open_mapped(self.place / name, "r+") for name in (GATHERS, VELOCITIES)}
