"""Batches for all members from a packed store, through grain; the position is a small JSON-able state.

Batch k is a pure function of (seed, k): restoring the state continues with the very batches that would have come.
"""

import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import grain
import numpy as np

from .store import Store


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Batches an epoch: the remainder is dropped, and fewer samples than a batch still make one."""
    return max(n // batch_size, 1)


def batches(
    store: Store,
    indices: np.ndarray,
    *,
    batch_size: int,
    members: int,
    seed: int,
    resample: str = "none",
    extra: Mapping[str, Any] | None = None,
    second_share: float = 0.0,
    later: Sequence[np.ndarray] = (),
    fresh_every: int = 0,
    rows_only: bool = False,
) -> grain.DatasetIterator:
    """Endless batches of the store's rows ``indices``; each member shuffles them its own way, anew each epoch.

    Yields a dict of ``index`` (member, batch) int32, ``gathers`` (member, batch, shot, time, receiver), ``velocity``
    (member, batch, x, depth) where the store has it, and for each of ``extra``, arrays with the store's row as their
    first axis, that array's rows (member, batch, ...). ``get_state()`` and ``set_state()`` are the loader's position.
    ``resample`` says which rows a member sees: all (``none``), as many of them drawn with replacement (``bootstrap``),
    or all but one in ``members`` (``fold``), another part for each. ``second_share``: of the samples of an epoch, those
    from the second of the store's two parts, where it has such, however many these hold. Each ``fresh_every`` epochs
    the next of ``later`` take the place of ``indices``; an epoch has as many batches as before. ``rows_only``:
    ``index`` and nothing else; the positions are the same.
    """
    first = store.parts[0] if store.parts else None
    rounds = [np.asarray(rows, np.int32) for rows in (indices, *later)]
    plan = _Plan(rounds, batch_size, members, seed, resample, first, second_share, fresh_every)
    sources = {} if rows_only else sources_of(store, extra)

    def read(index: np.ndarray) -> dict[str, np.ndarray]:
        return {"index": index, **{name: np.asarray(rows[index]) for name, rows in sources.items()}}

    # one thread that reads two batches ahead; grain's own default would hold 500
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=2)
    return iter(grain.MapDataset.source(plan).map(read).to_iter_dataset(options))


def sources_of(store: Store, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The arrays that batches are rows of, by the batch's names."""
    models = {} if store.velocities is None else {"velocity": store.velocities}
    return {"gathers": store.gathers, **(extra or {}), **models}


class _Plan:
    """Step -> the rows (member, batch) that it takes: an endless random-access source for grain."""

    def __init__(
        self,
        rounds: Sequence[np.ndarray],
        batch_size: int,
        members: int,
        seed: int,
        resample: str,
        first: int | None = None,
        share: float = 0.0,
        fresh_every: int = 0,
    ):
        indices = rounds[0]
        if indices.ndim != 1 or not indices.size:
            raise ValueError(f"indices must be a list of at least one row, found shape {indices.shape}")
        self.rounds, self.batch_size, self.members, self.seed = rounds, batch_size, members, seed
        self.resample, self.first, self.share, self.fresh_every = resample, first, share, fresh_every
        self.steps = steps_per_epoch(len(indices), batch_size)
        self.order = functools.lru_cache(maxsize=2)(self._order)

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index: int) -> np.ndarray:
        epoch, k = divmod(int(index), self.steps)
        return self.order(epoch)[:, k]

    def _order(self, epoch: int) -> np.ndarray:
        """(member, step, batch) rows of one epoch."""
        number = epoch // self.fresh_every if self.fresh_every else 0
        indices = self.rounds[min(number, len(self.rounds) - 1)]  # it reads on a little behind the last epoch
        generators = [np.random.default_rng((self.seed, m, epoch)) for m in range(self.members)]
        seen = [_seen(indices, member, self.members, self.seed, self.resample) for member in range(self.members)]
        rows = [self._rows(rng, rows) for rng, rows in zip(generators, seen, strict=True)]
        shape = (self.steps, self.batch_size)
        return np.stack([np.resize(each, shape) for each in rows])  # repeats rows only where a batch needs more

    def _rows(self, rng: np.random.Generator, rows: np.ndarray) -> np.ndarray:
        """A member's rows of an epoch, shuffled: all, or of both parts so many as their shares say."""
        if self.first is None:
            return rng.permutation(rows)
        whole = len(self.rounds[0])
        second = round(self.share * whole)
        parts = (rows[rows < self.first], whole - second), (rows[rows >= self.first], second)
        return rng.permutation(np.concatenate([_drawn(rng, part, count) for part, count in parts if len(part)]))


def _drawn(rng: np.random.Generator, rows: np.ndarray, count: int) -> np.ndarray:
    """``count`` of the rows, none a time more than another needs to be."""
    times = -(-count // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(times)] or [rows[:0]])[:count]


def _seen(indices: np.ndarray, member: int, members: int, seed: int, resample: str) -> np.ndarray:
    """The rows that a member sees in each epoch, however they are shuffled."""
    if resample == "bootstrap":
        return np.random.default_rng((seed, member)).choice(indices, len(indices))
    if resample == "fold" and len(indices) >= members > 1:
        own = np.array_split(np.random.default_rng(seed).permutation(len(indices)), members)[member]
        return np.delete(indices, own)
    return indices
