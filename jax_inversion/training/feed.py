"""A run's batches on its devices: the next one is put there while the step computes with this one.

Where a store fits into the devices' memory it lies there whole, and rows are taken there instead of being sent.
"""

from collections.abc import Mapping
from typing import Any

import grain
import jax
import numpy as np

from .devices import Spread
from .memory import free_bytes

SHARE = 0.5  # of a device's free memory that a store may take


class Feed:
    """``data`` yields batches as ``data.loader`` does: with their rows' arrays, or, where ``resident`` has these, with
    their ``index`` alone. The position is that behind the last batch taken, whatever lies ready.
    """

    def __init__(self, data: grain.DatasetIterator, spread: Spread, resident: Mapping[str, Any] | None = None):
        self._data, self._spread = data, spread
        self._rows = None if resident is None else Resident(resident, spread)
        self._ready: tuple[np.ndarray, Mapping[str, Any], dict] | None = None
        self._position = data.get_state()

    def get_state(self) -> dict:
        return self._position

    def set_state(self, position: dict) -> None:
        self._data.set_state(position)
        self._position, self._ready = position, None

    def send(self) -> Mapping[str, Any]:
        """Send the batch that is taken next on its way, where it is not yet."""
        self._ready = self._ready or self._read()
        return self._ready[1]

    def take(self) -> tuple[np.ndarray, Mapping[str, Any]]:
        """The rows (member, batch) of the next batch, and its arrays."""
        index, batch, self._position = self._ready or self._read()
        self._ready = None
        return index, batch

    def _read(self) -> tuple[np.ndarray, Mapping[str, Any], dict]:
        arrays = next(self._data)
        index = arrays.pop("index")
        batch = self._spread.batch(arrays) if self._rows is None else self._rows(index)
        return index, batch, self._data.get_state()


class Resident:
    """Arrays whole on every device; called with rows (member, batch), their part of each, where it is used."""

    def __init__(self, arrays: Mapping[str, Any], spread: Spread):
        self._spread = spread
        self._arrays = {name: spread.everywhere(np.asarray(array[:])) for name, array in arrays.items()}
        self._take = jax.jit(
            lambda arrays, index: {name: array[index] for name, array in arrays.items()},
            out_shardings=None if spread.is_one else spread.of_batches,
        )

    def __call__(self, index: np.ndarray) -> Mapping[str, jax.Array]:
        return self._take(self._arrays, self._spread.batch({"index": index})["index"])


def size_bytes(arrays: Mapping[str, Any]) -> int:
    return sum(4 * int(np.prod(array.shape)) for array in arrays.values())


def fits(arrays: Mapping[str, Any], spread: Spread) -> bool:
    """Whether to keep the arrays on the devices: these are no CPU, where they would lie in the same memory twice."""
    device = spread.devices[0]
    return device.platform != "cpu" and size_bytes(arrays) <= SHARE * free_bytes(device)
