"""How a command ends that went wrong: in one line, where it went wrong and here, with no other attempt."""

import contextlib
import logging
import re
import sys
from collections.abc import Iterator
from types import TracebackType

import modal

from ..errors import UserError


@contextlib.contextmanager
def in_one_line() -> Iterator[None]:
    """In a container: end its function where the fault has a line that explains it, or a stage called has ended so.

    Modal runs a cancelled input no second time, a failed one as often as its retries say.
    """
    logging.getLogger("modal-client").setLevel(logging.ERROR)  # it would call this a success
    try:
        yield
        return
    except modal.exception.RemoteError as error:  # without words: the stage that ended has printed them
        said = f"error: {error}" if str(error) else ""
    except Exception as error:
        from ..files import fault_of

        if (fault := fault_of(error)) is None:
            raise
        said = f"error: {as_typed_here(str(fault))}"
    if said:
        print(said, file=sys.stderr, flush=True)
    raise modal.exception.InputCancellation(said)


def as_typed_here(message: str) -> str:
    """A message of the front doors with their settings as a Modal command takes them.

    ``--data.skip-bad true`` becomes ``--overrides "data.skip-bad=true"``.
    """
    setting = r"--([a-z]+\.[a-z_-]+)(?:[ =](true|false|\d[\w.,-]*\b))?"
    return re.sub(setting, lambda found: f'--overrides "{found[1]}={found[2] or "..."}"', message)


def hide_tracebacks() -> None:
    """Where the command is typed: errors that have been explained end it without a traceback of Modal's client."""
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, modal.exception.RemoteError):
            print(f"the command failed: {str(error) or 'what is wrong stands above'}", file=sys.stderr)
        elif isinstance(error, UserError):
            print(f"error: {error}", file=sys.stderr)
        else:
            before(kind, error, trace)

    sys.excepthook = hook
