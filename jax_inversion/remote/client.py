"""What the `modal` command makes of our functions: help in words, either spelling, checks before a card is rented.

Modal's client (1.6) gives an option no description and no second spelling, and starts a function's machine unasked. Its
two functions that make a command are wrapped here; where another version has none of that name, commands work without.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any

import click
import modal
from modal.cli import run as cli

from ..errors import UserError
from .volume import Listing

_MAKERS = ("_get_click_command_for_function", "_get_click_command_for_local_entrypoint")
_ORIGINAL = {name: getattr(cli, name) for name in _MAKERS if hasattr(cli, name)}
Check = Callable[[str, dict[str, Any]], None]

OPTIONS = {
    "config": "a preset: configs/challenge.toml, or a .toml file on the volume",
    "run": "name of the run, a folder of models/ and results/ on the volume (default: the preset's name)",
    "overrides": 'settings of the preset to change: "train.epochs=30 ensemble.members=2"; where a command predicts, '
    "those of its section infer, where it simulates, of survey and simulator",
    "data": "folder of the volume with train/ and test/ (default: the run's own, else the volume itself)",
    "simulated": "make the samples first, as many as the preset's section simulate says",
    "plan": "print machines, hours and prices, and end; starts no machine",
    "archive": "a zip file that `modal volume put` brought to the volume",
    "into": "the folder of the volume that gets the samples",
    "checkpoint_name": "best, latest or epoch_<n>, as in epoch_10",
    "chunk": "test samples that one machine predicts",
    "submission": "a submission on the volume (default: the run's own)",
    "truth": "folder of the volume with the true models (default: truth/)",
    "count": "how many samples",
    "geology": "a preset of geology, such as marine or basin, or a mixture such as 'marine:3 salt:1'",
    "out": "folder of the volume that gets the samples",
    "seed": "another seed, another set (default: another one for each --out, so that no two sets share a sample)",
    "start": "number of the first sample",
    "shard": "samples that one machine makes",
    "machine": "what simulates",
}


def improve(volume: modal.Volume, check: modal.Function) -> None:
    """Wrap what makes commands. ``check`` does the checks where the package's own dependencies are missing here."""
    for name, original in _ORIGINAL.items():
        setattr(cli, name, functools.partial(_make, original, volume, check))


def _make(
    original: Callable[..., click.Command], volume: modal.Volume, check: modal.Function, app: modal.App, runnable: Any,
    *rest: Any,
) -> click.Command:  # fmt: skip
    on_card = isinstance(runnable, modal.Function) and bool(runnable.info().gpus)
    source: Any = runnable._source_info_ if isinstance(runnable, modal.Function) else runnable.info
    raw = source.raw_f
    command = original(app, _Checked(runnable, raw.__name__, volume, check) if on_card else runnable, *rest)
    command.help = inspect.getdoc(raw)
    command.context_settings["token_normalize_func"] = lambda name: name.replace("_", "-")
    command.params.reverse()  # to the order of the signature
    for option in command.params:
        if isinstance(option, click.Option) and option.name in OPTIONS:
            option.help = OPTIONS[option.name]
            option.show_default = option.default not in (None, "") and not option.is_flag
    callback: Callable[..., Any] | None = command.callback
    assert callback is not None

    def first_offline(*args: Any, **options: Any) -> Any:
        _or_one_line(_offline, options)
        return callback(*args, **options)

    command.callback = first_offline
    return command


class _Checked:
    """A function that rents a card: what it will go on is looked at before."""

    def __init__(self, function: modal.Function, name: str, volume: modal.Volume, check: modal.Function):
        self._function, self._name, self._volume, self._check = function, name, volume, check

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    def remote(self, **options: Any) -> Any:
        self._look(options)
        return self._function.remote(**options)

    def spawn(self, **options: Any) -> Any:
        self._look(options)
        return self._function.spawn(**options)

    def _look(self, options: dict[str, Any]) -> None:
        try:
            from . import checks
        except ModuleNotFoundError:  # modal alone is installed here
            return self._check.remote(self._name, options)
        _or_one_line(checks.before, self._name, Listing(self._volume), options)


def _offline(options: Mapping[str, Any]) -> None:
    try:
        from . import checks
    except ModuleNotFoundError:
        return
    checks.offline(options)


def _or_one_line(function: Callable[..., None], *args: Any) -> None:
    try:
        function(*args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
