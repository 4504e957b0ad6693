"""Packed stores as one, each where it lies: samples of one's own and simulated ones, or those that are still made."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..resampling import cell_means
from .rows import Store


class Rows:
    """Arrays one behind the other along their first axis, read when they are indexed. For reading only."""

    def __init__(self, parts: Sequence[Any]):
        self.parts = parts
        self.starts = np.cumsum([0, *map(len, parts)])
        self.shape, self.dtype = (int(self.starts[-1]), *parts[0].shape[1:]), parts[0].dtype
        self.ndim = len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        """As NumPy's: rows by number, slice or array of numbers, and slices of the other axes."""
        first, *others = index if isinstance(index, tuple) else (index,)
        rows = np.arange(len(self))[first]
        part = np.searchsorted(self.starts, rows, side="right") - 1
        if rows.ndim == 0:
            return self.parts[int(part)][(rows - self.starts[part], *others)]
        like = self.parts[0][(slice(0, 0), *others)]
        found = np.empty((*rows.shape, *like.shape[1:]), self.dtype)
        for k, array in enumerate(self.parts):
            if (own := part == k).any():
                found[own] = array[(rows[own] - self.starts[k], *others)]
        return found


class Late:
    """An array of a known shape that is not there yet: whoever reads it waits until ``read`` has it."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, read: Callable[[], np.ndarray]):
        self.shape, self.dtype, self.read = shape, dtype, read

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.read()[index]


def join(first: Store, second: Store) -> Store:
    """The samples of both, on the cells of the second, with the first's unit of amplitude. They have one survey."""
    assert first.survey == second.survey, "stores of one run"
    shape = second.models.shape[1:]
    velocities = first.models
    if velocities.shape[1:] != shape:
        velocities = cell_means(velocities, (shape[0], shape[1]))
    return Store(
        ids=(*first.ids, *second.ids),
        gathers=Rows([first.gathers, second.gathers]),
        velocities=Rows([velocities, second.models]),
        survey=first.survey,
        std=first.std,
        made_from={"joined": [first.made_from, second.made_from]},
        parts=(len(first), len(second)),
    )
