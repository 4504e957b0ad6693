"""What all front doors share: the exit codes and the quieting of noisy libraries."""

import functools
import logging
import os
import sys
from collections.abc import Callable, Sequence

from .errors import RunError, UserError


def front_door(main: Callable[[Sequence[str] | None], object]) -> Callable[[Sequence[str] | None], int]:
    """Wrap ``main(argv)`` so that it returns 0 when done, 2 with one line when the user's input is wrong.

    A run's bad end (``RunError``) and Ctrl-C end with one line and code 1. Any other exception keeps its traceback,
    and Python exits with 1.
    """

    @functools.wraps(main)
    def wrapped(argv: Sequence[str] | None = None) -> int:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        logging.getLogger("absl").setLevel(logging.ERROR)
        try:
            main(sys.argv[1:] if argv is None else argv)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except RunError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted; run the same command again to go on", file=sys.stderr)
            return 1
        return 0

    return wrapped
