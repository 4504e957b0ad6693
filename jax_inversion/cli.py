"""What all front doors share: the exit codes, the lines on stderr and the quieting of noisy libraries."""

import contextlib
import functools
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from .errors import UserError
from .files import fault_of


@runtime_checkable
class Door(Protocol):
    """A wrapped ``main``: ``argv`` is the process's own where none is given; returns the exit code."""

    def __call__(self, argv: Sequence[str] | None = None) -> int: ...


def front_door(main: Callable[[Sequence[str]], object]) -> Door:
    """Wrap ``main(argv)`` so that it returns 0 when done (or the code that ``main`` returns).

    What the user gave wrong, a path that cannot be used among it, ends with one line and code 2. A run's bad end
    (``RunError``, a full disk) and Ctrl-C end with one line and code 1; where the reader of the output has gone
    (``| head``) there is no line. Any other exception keeps its traceback, and Python exits with 1.
    """

    @functools.wraps(main)
    def wrapped(argv: Sequence[str] | None = None) -> int:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        logging.getLogger("absl").setLevel(logging.ERROR)
        prepare_output()
        try:
            try:
                code = main(sys.argv[1:] if argv is None else argv)
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()
            return code if isinstance(code, int) else 0
        except BrokenPipeError:
            _drop_output()
            return 1
        except KeyboardInterrupt:
            print("interrupted; run the same command again to go on", file=sys.stderr)
            return 1
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            logging.getLogger(__name__).debug("where it came from", exc_info=True)
            print(f"error: {fault}", file=sys.stderr)
            _drop_output()
            return 2 if isinstance(fault, UserError) else 1

    return wrapped


class _Lines(logging.StreamHandler):
    """Plain lines on whatever ``sys.stderr`` is when they are said."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def prepare_output() -> None:
    """Ids of odd bytes are printed with backslashes; the package's own log goes to stderr."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    log, root = logging.getLogger("jax_inversion"), logging.getLogger()
    # absl gives a root without handlers a plain one, on the import of Orbax already, which would say all of this again
    root.handlers[:] = [h for h in root.handlers if type(h) is not logging.StreamHandler] or [logging.NullHandler()]
    if not log.handlers:
        log.addHandler(_Lines())
        log.setLevel(logging.INFO)


def _drop_output() -> None:
    """Send nowhere what is buffered and cannot be written, or Python would complain about it once more at its end."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # a stream without a file of its own
            try:
                stream.flush()
            except OSError:  # a broken pipe, or a full disk that the output goes to
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
