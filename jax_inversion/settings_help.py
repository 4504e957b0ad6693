"""What ``--help`` says of settings: each with its type, its value in the preset and the comment beside its field."""

import contextlib
import dataclasses
import io
import re
from collections.abc import Sequence
from typing import Any

from .config import Config


def settings_text(config: Config, sections: Sequence[str]) -> str:
    """All settings of ``sections``, with the values that ``config`` has."""
    import tyro  # half a second, for help alone

    values: dict[str, Any] = {name: getattr(config, name) for name in sections}
    if "ensemble" in values:  # groups are written in a preset, not on the command line
        values["ensemble"] = dataclasses.replace(config.ensemble, group=())
    fields = [(name, type(value), dataclasses.field(default=value)) for name, value in values.items()]
    shown, out = dataclasses.make_dataclass("Settings", fields, frozen=True), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        tyro.cli(shown, args=["--help"], prog="", config=(tyro.conf.FlagConversionOff,))
    text = "\n".join(line.rstrip() for line in out.getvalue().splitlines())
    text = re.sub(r"\[(\w+) \[\1 \.\.\.\]\]", r"\1,\1,...", text)  # as the command line takes them
    return text[text.index(f" {sections[0]} options") :]
