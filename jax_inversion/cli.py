"""What all front doors share: the exit codes, the lines on stderr and the quieting of noisy libraries."""

import argparse
import contextlib
import functools
import io
import itertools
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from . import config as configs
from .config import SECTIONS, Config
from .errors import UserError
from .files import fault_of
from .settings_help import settings_text

__all__ = ["SECTIONS", "Door", "DoorParser", "completion", "front_door", "prepare_output"]


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


class DoorParser(argparse.ArgumentParser):
    """The options of ``python -m jax_inversion.<verb>``, and ``--section.key value`` for settings of ``sections``.

    ``--help`` shows these too, with the values of the preset that ``--config`` or ``--survey`` names, or of what
    ``--ckpt`` was trained with.
    """

    def __init__(self, verb: str, description: str, sections: Sequence[str] = (), epilog: str | None = None):
        prog = f"python -m jax_inversion.{verb}"
        super().__init__(prog=prog, description=description, epilog=epilog, allow_abbrev=False)
        self.sections = sections

    def add_checkpoint(self) -> None:
        """--ckpt, as every door that predicts takes it."""
        help = "RUN, RUN/latest, RUN/epoch_10, a model file, pretrained"
        self.add_argument("--ckpt", required=True, metavar="CKPT", help=help)

    def read(self, argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """The options, and the settings that are changed. ``UserError`` where a door without settings is given one."""
        if self.sections and {"-h", "--help"} & {*argv}:
            print(self.format_help())
            print(settings_text(_preset(argv), self.sections))
            self.exit()
        if not self.sections:
            return self.parse_args(argv), []
        return self.parse_known_args(argv)


def completion(doors: Mapping[str, DoorParser], shell: str) -> str:
    """The script that teaches ``shell`` the doors, their options and settings. ``UserError`` for an unknown shell."""
    import shtab  # for this alone

    if shell not in shtab.SUPPORTED_SHELLS:
        raise UserError(f"--print-completion {shell}: right is one of {', '.join(shtab.SUPPORTED_SHELLS)}")
    whole = argparse.ArgumentParser(prog="jax-inversion")
    verbs = whole.add_subparsers()
    for verb, door in doors.items():
        own = verbs.add_parser(verb, parents=[door], add_help=False, help=door.description)
        for section in door.sections:
            for name in configs.keys(section):
                own.add_argument(f"--{section}.{name.replace('_', '-')}", help=f"a setting of [{section}]")
        for action in own._actions:
            if action.type is Path or action.dest == "ckpt":
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return shtab.complete(whole, shell)


def _preset(argv: Sequence[str]) -> Config:
    for option, value in itertools.pairwise(argv):
        if option in ("--config", "--survey"):
            return configs.load(value)
        if option == "--ckpt":
            from .training.model_file import restore  # which brings Orbax

            return restore(value).config
    return Config()


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
