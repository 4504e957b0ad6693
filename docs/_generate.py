"""What the site takes from the program itself: the command reference, and the notebooks as pages."""

import importlib
import json
import os
from pathlib import Path

from jax_inversion import config as configs
from jax_inversion.__main__ import VERBS
from jax_inversion.cli import SECTIONS
from jax_inversion.config import Config
from jax_inversion.settings_help import settings_text

WIDTH = 110


def write(docs: Path) -> None:
    """All generated files, into ``docs``/_generated."""
    folder = docs / "_generated"
    folder.mkdir(exist_ok=True)
    _put(folder / "doors.md", doors())
    for path in sorted((docs / "notebooks").glob("[a-z]*.ipynb")):
        _put(folder / f"{path.stem}.md", page(path))


def doors() -> str:
    """What each front door's ``--help`` says, and all settings once."""
    before = dict(os.environ)
    os.environ |= {"COLUMNS": str(WIDTH), "NO_COLOR": "1"}
    try:
        parts = [_door(verb, what) for verb, what in VERBS.items()]
        preset = configs.load("quickstart")
        settings = [
            "## All settings\n\nWith their values in the preset `quickstart`.",
            _text(settings_text(preset, SECTIONS)),
            '### The network `inversion`\n\n`[model]` with `name = "inversion"`, with its defaults.',
            _text(settings_text(Config(), ("model",))),
        ]
    finally:
        os.environ.clear()
        os.environ.update(before)
    return "\n\n".join([*parts, *settings]) + "\n"


def _door(verb: str, what: str) -> str:
    parser = importlib.import_module(f"jax_inversion.{verb}").parser()
    text = f"## {verb}\n\nTo {what}.\n\n" if what[0].islower() and verb != "doctor" else f"## {verb}\n\n"
    if parser.sections:
        which = (
            "any section"
            if len(parser.sections) == len(SECTIONS)
            else " and ".join(f"`[{name}]`" for name in parser.sections)
        )
        text += f"Takes settings of {which}, as `--section.key value`.\n\n"
    return text + _text(parser.format_help())


def _text(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


def page(path: Path) -> str:
    """A notebook as Markdown: its text, and its code as it stands."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(path.read_text())["cells"]]
    parts = [source if kind == "markdown" else f"```python\n{source}\n```" for kind, source in cells]
    title, *rest = parts
    where = (
        f"*This page is the notebook* {{download}}`{path.stem}.ipynb <../notebooks/{path.stem}.ipynb>` "
        f"*(the same as a script: {{download}}`{path.stem}.py <../notebooks/{path.stem}.py>`), without its outputs.*"
    )
    return "\n\n".join([title, where, *rest]) + "\n"


def _put(path: Path, text: str) -> None:
    """Only where it changed, so that pages are not built again for nothing."""
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)
