"""SIGTERM and Ctrl-C as a question that the loop asks between steps."""

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

log = logging.getLogger(__name__)


@contextlib.contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether the process was asked to end. A second Ctrl-C interrupts at once.

    Outside the main thread, where Python allows no handlers, the answer is always no.
    """
    heard: list[int] = []
    said: list[str] = []

    def asked() -> bool:
        if heard and not said:  # here and not in the handler, which may have interrupted a line half-said
            said.append(signal.Signals(heard[0]).name)
            log.warning("%s: saving after this step", said[0])
        return bool(heard)

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number: int, frame: FrameType | None) -> None:
        if heard and number == signal.SIGINT:
            raise KeyboardInterrupt
        heard.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
