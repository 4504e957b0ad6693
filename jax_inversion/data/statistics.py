"""What `analyze` says about a set of samples: amplitudes, spectrum, velocities; gathered sample by sample."""

from dataclasses import dataclass, field

import numpy as np

from ..arrays import Gathers, Velocity

SPECTRUM_FLOOR_DB = -40.0


@dataclass
class AmplitudeStatistics:
    """Of gathers (shot, time, receiver) every ``dt_s``, given one by one to ``add``."""

    dt_s: float
    low: float = np.inf
    high: float = -np.inf
    _count: int = 0
    _sums: np.ndarray = field(default_factory=lambda: np.zeros(2))
    _power: np.ndarray | float = 0.0

    def add(self, gathers: Gathers) -> None:
        values = np.asarray(gathers, np.float64)
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self._count += values.size
        self._sums += values.sum(), np.square(values).sum()
        spectrum = np.abs(np.fft.rfft(np.asarray(gathers, np.float32), axis=-2)) ** 2
        self._power = self._power + spectrum.mean(axis=(0, 2), dtype=np.float64)
        self._rows = values.shape[-2]

    @property
    def mean(self) -> float:
        return float(self._sums[0] / self._count)

    @property
    def std(self) -> float:
        return float(np.sqrt(max(self._sums[1] / self._count - self.mean**2, 0.0)))

    def spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        """(frequency in Hz, mean amplitude over all traces in dB below the peak)."""
        power = np.asarray(self._power)
        level = 10 * np.log10(np.maximum(power / max(power.max(), 1e-300), 1e-30))
        return np.fft.rfftfreq(self._rows, self.dt_s), level

    def peak_hz(self) -> float:
        frequency, level = self.spectrum()
        return float(frequency[level.argmax()])

    def highest_hz(self, floor_db: float = SPECTRUM_FLOOR_DB) -> float:
        """The highest frequency whose level is at least ``floor_db``."""
        frequency, level = self.spectrum()
        return float(frequency[np.flatnonzero(level >= floor_db)[-1]])


@dataclass(frozen=True)
class VelocityStatistics:
    """Of models (sample, x, depth) in km/s, cells taken alike."""

    mean: float
    std: float
    median: float
    low: float
    high: float
    sea_floor_m: tuple[float, float, float]  # least, mean and greatest depth of the sea floor

    @classmethod
    def of(cls, models: np.ndarray, spacing_m: float) -> "VelocityStatistics":
        floor_m = sea_floor_m(models, spacing_m)
        return cls(
            mean=float(models.mean(dtype=np.float64)),
            std=float(models.std(dtype=np.float64)),
            median=float(np.median(models)),
            low=float(models.min()),
            high=float(models.max()),
            sea_floor_m=(float(floor_m.min()), float(floor_m.mean()), float(floor_m.max())),
        )


def sea_floor_m(models: Velocity, spacing_m: float, tolerance_km_s: float = 0.005) -> np.ndarray:
    """Depth (*batch, x) where the velocity first differs from that at the top; the bottom where it never does."""
    models = np.asarray(models)
    rock = np.abs(models - models[..., :1]) > tolerance_km_s
    first = np.where(rock.any(axis=-1), rock.argmax(axis=-1), models.shape[-1])
    return first * spacing_m


def evenly(count: int, most: int) -> np.ndarray:
    """At most ``most`` of ``range(count)``, spread evenly, the ends among them."""
    return np.arange(count) if count <= most else np.linspace(0, count - 1, most).round().astype(int)
