"""Other samples every few epochs: while one round's are trained on, the next round's are made.

The first round is the run's own store: what baselines are fitted to, what validates, what refining learns from. Later
ones only train. They are removed when the next one is entered, and can be made again, the very same.
"""

import dataclasses
import logging
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from ..data.joined import Late, Rows
from ..data.store import Store
from .samples import Samples

Tell = Callable[[], None]
Made = tuple[Store, Mapping[str, Any]]

log = logging.getLogger(__name__)


class _Stopped(Exception):  # noqa: N818
    """Nobody waits for these samples any more."""


class Rounds:
    """The samples of rounds 0 to ``count`` (exclusive), each as many as the first has, one behind the other.

    ``make(number, tell)`` makes those of a later round where ``place(number)`` has none yet, and calls ``tell`` after
    each; ``bases(store, number, tell)`` has what batches hold of the baselines for them, as ``extra`` has for the first
    round's. ``current`` is the round that training is in.
    """

    def __init__(
        self,
        samples: Samples,
        extra: Mapping[str, Any],
        count: int,
        current: int,
        place: Callable[[int], Path],
        make: Callable[[int, Tell], Store],
        bases: Callable[[Store, int, Tell], Mapping[str, Any]],
    ):
        self.first, self.size, self.count = samples, len(samples.store), count
        self.place, self.make, self.bases = place, make, bases
        self._made: dict[int, Future[Made]] = {}
        self._lock, self._stopped = threading.Lock(), threading.Event()
        numbers = range(1, count)
        store = samples.store

        def late(like: Any, pick: Callable[[Made], np.ndarray]) -> Rows:
            def part(number: int) -> Late:
                return Late((self.size, *like.shape[1:]), like.dtype, lambda: pick(self._wait(number)))

            return Rows([like, *map(part, numbers)])

        gathers, models = late(store.gathers, lambda made: made[0].gathers), late(store.models, lambda m: m[0].models)
        self.store = dataclasses.replace(store, gathers=gathers, velocities=models)
        self.extra = {name: late(array, lambda made, name=name: made[1][name]) for name, array in extra.items()}
        self.later: Sequence[np.ndarray] = [np.arange(self.size) + number * self.size for number in numbers]
        self._current = 0
        if current == 0:
            self._begin(1)

    def name_of(self, row: int) -> str:
        """The id of a sample that was read."""
        number, own = divmod(row, self.size)
        return (self._wait(number)[0] if number else self.first.store).ids[own]

    def check(self) -> None:
        """Raise what went wrong in making samples."""
        for made in list(self._made.values()):
            if made.done():
                made.result()

    def close(self) -> None:
        """Make no more."""
        self._stopped.set()

    def remove(self) -> None:
        """The samples of all later rounds."""
        self.close()
        for number in range(1, self.count):
            shutil.rmtree(self.place(number), ignore_errors=True)

    def _wait(self, number: int) -> Made:
        made = self._begin(number)
        if not made.done():
            log.info("waiting for the samples of round %d of %d", number + 1, self.count)
        found = made.result()
        with self._lock:
            entered, self._current = number > self._current, max(number, self._current)
        if entered and number > 1:
            shutil.rmtree(self.place(number - 1), ignore_errors=True)
        if number + 1 < self.count:
            self._begin(number + 1)
        return found

    def _begin(self, number: int) -> "Future[Made]":
        with self._lock:
            if number not in self._made:
                self._made[number] = made = Future()
                threading.Thread(target=self._work, args=(number, made), daemon=True).start()
            return self._made[number]

    def _work(self, number: int, made: "Future[Made]") -> None:
        try:
            store = self.make(number, self._tell)
            made.set_result((store, self.bases(store, number, self._tell)))
        except BaseException as error:
            made.set_exception(error)

    def _tell(self) -> None:
        if self._stopped.is_set():
            raise _Stopped
