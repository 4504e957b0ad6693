"""Geometry of a survey: grid, time axis, sources and receivers, in one validated, hashable place.

``CHALLENGE`` is the survey of ThinkOnward's "Speed and Structure" challenge, ``CHALLENGE_RUN`` the run that made its
data: the only place with their constants.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from .arrays import AnyGathers, AnyVelocity
from .errors import UserError
from .files import read_toml

FASTEST_KM_S = 20.0  # beyond, it is in another unit


@dataclass(frozen=True)
class Survey:
    """A 2-D survey. Velocity models are (nx, nz) cells of ``spacing_m``, gathers (shots, nt, receivers) every ``dt_s``.

    Position x = 0 is the centre of the first cell of a model, depth 0 that of its first row.
    """

    nx: int  # cells across the section
    nz: int  # cells in depth
    spacing_m: float  # side of a cell
    nt: int  # samples of a trace
    dt_s: float  # interval between them
    source_x_m: tuple[float, ...]  # a shot each
    source_z_m: float  # depth
    receiver_x_m: tuple[float, ...]  # the same for all shots
    receiver_z_m: float  # depth
    peak_hz: float = 15.0  # of the source's Ricker wavelet
    v_min_km_s: float = 1.5  # the slowest velocity that models may have, that of water
    v_max_km_s: float = 4.5  # the fastest

    def __post_init__(self) -> None:
        for name in ("nx", "nz", "spacing_m", "nt", "dt_s", "peak_hz", "v_min_km_s"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise UserError(f"survey.{name} is {getattr(self, name)!r}; it must be a positive number")
        if not self.v_min_km_s < self.v_max_km_s:
            raise UserError(f"survey.v_min_km_s {self.v_min_km_s} must be below survey.v_max_km_s {self.v_max_km_s}")
        if not self.v_max_km_s <= FASTEST_KM_S:
            raise UserError(f"survey.v_max_km_s is {self.v_max_km_s:g}; right is at most {FASTEST_KM_S:g}, in km/s")
        if not self.source_x_m or not self.receiver_x_m:
            raise UserError("survey.source_x_m and survey.receiver_x_m must name at least one position each")
        for name in ("source_z_m", "receiver_z_m"):
            if not math.isfinite(getattr(self, name)):
                raise UserError(f"survey.{name} is {getattr(self, name)}; right is a depth in m")
        for name in ("source_x_m", "receiver_x_m"):
            if odd := [x_m for x_m in getattr(self, name) if not math.isfinite(x_m)]:
                raise UserError(f"survey.{name} has {odd[0]}; right are positions in m")

    @classmethod
    def load(cls, path: Path | str) -> "Survey":
        """The [survey] section of a TOML file, such as a preset or a run's config.toml; without one, ``CHALLENGE``.

        ``UserError`` names the file and the key, what was found and what is right.
        """
        values = read_toml(path).get("survey")
        return CHALLENGE if values is None else cls.from_dict(values, str(path))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str) -> "Survey":
        """Validate ``values``, all that a survey needs; ``UserError`` names ``where`` and the key."""
        names = [f.name for f in dataclasses.fields(cls)]
        needed = [f.name for f in dataclasses.fields(cls) if f.default is dataclasses.MISSING]
        if unknown := [name for name in values if name not in names]:
            raise UserError(f"{where}: unknown key survey.{unknown[0]}; known: {', '.join(names)}")
        if missing := [name for name in needed if name not in values]:
            # whole or absent: half a survey of one's own and half the challenge's is nobody's
            raise UserError(
                f"{where}: [survey] lacks {', '.join(missing)}; give all of {', '.join(needed)}, or no [survey] at all "
                "(then it is the challenge's)"
            )
        try:
            return TypeAdapter(cls).validate_python(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, ("survey", *first["loc"])))
            raise UserError(f"{where}: {key}: {first['msg']}, found {first['input']!r}") from None
        except UserError as error:
            raise UserError(f"{where}: {error}") from None

    @property
    def shots(self) -> int:
        return len(self.source_x_m)

    @property
    def receivers(self) -> int:
        return len(self.receiver_x_m)

    @property
    def gathers_shape(self) -> tuple[int, int, int]:
        """(shot, time, receiver)."""
        return self.shots, self.nt, self.receivers

    @property
    def model_shape(self) -> tuple[int, int]:
        """(x, depth)."""
        return self.nx, self.nz

    @property
    def duration_s(self) -> float:
        return (self.nt - 1) * self.dt_s

    def differences(self, other: "Survey") -> list[str]:
        """Names of the fields that ``other`` has otherwise."""
        return [f.name for f in dataclasses.fields(self) if getattr(self, f.name) != getattr(other, f.name)]

    def with_interval(self, dt_s: float) -> "Survey":
        """The same survey sampled every ``dt_s`` seconds; the interval must be a whole multiple of this survey's."""
        step = round(dt_s / self.dt_s)
        if step < 1 or not math.isclose(step * self.dt_s, dt_s, rel_tol=1e-6):
            raise UserError(f"an interval of {dt_s} s is not a whole multiple of the survey's {self.dt_s} s")
        return dataclasses.replace(self, nt=(self.nt - 1) // step + 1, dt_s=step * self.dt_s)

    def on_grid(self, shape: tuple[int, int]) -> "Survey":
        """The same survey with its section in cells of ``shape`` (x, depth), near enough square: for figures."""
        nx, nz = shape
        return dataclasses.replace(self, nx=nx, nz=nz, spacing_m=self.nz * self.spacing_m / nz)

    @property
    def mirror_error_m(self) -> float:
        """How far, at most, a source or receiver lies from the position that the lateral mirror gives it."""
        span_m = (self.nx - 1) * self.spacing_m
        return max(
            abs(a - (span_m - b))
            for xs in (self.source_x_m, self.receiver_x_m)
            for a, b in zip(xs, reversed(xs), strict=True)
        )

    @property
    def has_mirror(self) -> bool:
        """Whether mirrored gathers are gathers of this survey, to within two cells (the challenge's are one off)."""
        return self.mirror_error_m <= 2 * self.spacing_m

    def fractions(self, positions_m: tuple[float, ...]) -> tuple[float, ...]:
        """Positions along x as fractions of the section's width."""
        return tuple(x_m / ((self.nx - 1) * self.spacing_m) for x_m in positions_m)

    @property
    def fingerprint(self) -> str:
        """A short text that is the same for equal surveys only."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Reference:
    """The run that a simulator is to look like: second-order leapfrog on cells of ``spacing_m`` with steps of ``dt_s``.

    Its numerical dispersion and its damping layer of ``layer_m`` are part of the data that it made. A survey's own
    cells say nothing about that: the same models may be given on others.

    In float32 the coefficients of a cell round, and steps as small as 0.1 ms multiply that: the run obeys
    u_tt + drift_s2 u = v^2 laplace(u) + q. In layered rock the signs are mixed; in water, through which the strong
    direct wave travels, it is one number, up to 6e-8 / dt_s^2 either way.
    """

    spacing_m: float
    dt_s: float
    layer_m: float
    drift_s2: float = 0.0  # in the background medium, 1/s^2

    def __post_init__(self) -> None:
        if not math.isfinite(self.drift_s2):
            raise UserError(f"reference.drift_s2 is {self.drift_s2!r}; it must be a number")
        for name in ("spacing_m", "dt_s", "layer_m"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise UserError(f"reference.{name} is {getattr(self, name)!r}; it must be a positive number")


def mirror_gathers(gathers: AnyGathers) -> AnyGathers:
    """Gathers of the laterally mirrored section: receivers **and shots** in reverse order.

    Exact only for a survey that is its own mirror image; the challenge's is one cell (1 m) off, see
    ``Survey.mirror_error_m``.
    """
    return gathers[..., ::-1, :, ::-1]


def mirror_velocity(velocity: AnyVelocity) -> AnyVelocity:
    """The laterally mirrored section: x, the first of the last two axes, reversed; depth as it was."""
    return velocity[..., ::-1, :]


CHALLENGE = Survey(
    nx=300,
    nz=1259,
    spacing_m=1.0,
    nt=10001,
    dt_s=1e-4,
    source_x_m=tuple(float(k - 1) for k in (1, 75, 150, 225, 300)),
    source_z_m=20.0,
    receiver_x_m=tuple(10.0 * k for k in range(31)),
    receiver_z_m=10.0,
)
# The drift was measured in a direct wave before the first reflection: benchmarks/README.md.
CHALLENGE_RUN = Reference(spacing_m=1.0, dt_s=1e-4, layer_m=350.0, drift_s2=2.2)
