"""Progress of long work: a bar in a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TextIO

from tqdm import tqdm


class Progress:
    """Count ``total`` things as they are done; ``update(n, loss=0.1)`` shows figures beside the count.

    In a terminal this is a tqdm bar. Elsewhere (a log file, a container) it prints a plain line at most
    every ``interval_s`` seconds, and one at the end.
    """

    def __init__(
        self,
        total: int,
        what: str,
        unit: str = "sample",
        initial: int = 0,
        interval_s: float = 10.0,
        stream: TextIO | None = None,
    ):
        self.stream = stream or sys.stderr
        self.total, self.what, self.unit, self.done, self.initial = total, what, unit, initial, initial
        self.interval_s, self.figures = interval_s, ""
        self.started = self.shown = time.monotonic()
        self.bar = None
        if self.stream.isatty():
            self.bar = tqdm(total=total, desc=what, unit=f" {unit}", initial=initial, file=self.stream)

    def update(self, n: int = 1, **figures: Any) -> None:
        """Say that ``n`` more are done."""
        self.done += n
        self.figures = "  ".join(f"{k} {_short(v)}" for k, v in figures.items()) or self.figures
        if self.bar is not None:
            self.bar.set_postfix_str(self.figures, refresh=False)
            self.bar.update(n)
        elif self.done < self.total and time.monotonic() - self.shown >= self.interval_s:  # the end says the last one
            self._line()

    def _line(self) -> None:
        self.shown = time.monotonic()
        rate = (self.done - self.initial) / max(self.shown - self.started, 1e-9)
        left = f", {(self.total - self.done) / rate:.0f} s left" if rate > 0 and self.done < self.total else ""
        print(
            f"{self.what}: {self.done}/{self.total} ({rate:.3g} {self.unit}/s{left})  {self.figures}".rstrip(),
            file=self.stream,
            flush=True,
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()
        elif self.done > self.initial:
            self._line()


def track(things: Iterable[Any], total: int, what: str, unit: str = "sample") -> Iterator[Any]:
    """Yield ``things`` with a progress bar around them."""
    with Progress(total, what, unit) as progress:
        for thing in things:
            yield thing
            progress.update()


def in_threads(work: Callable[[Any], Any], things: Sequence[Any], what: str, unit: str = "sample") -> Iterator[Any]:
    """Yield ``work(thing)`` in order, with a progress bar: for reading, hashing and filtering, which let others run."""
    with ThreadPoolExecutor(cores()) as pool:
        yield from track(pool.map(work, things), len(things), what, unit)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
