"""Presets by the name that a user of the volume gives them, and the settings typed after --overrides."""

import contextlib
import re
import shlex
import tempfile
from pathlib import Path
from typing import Any

from .. import config as configs
from ..config import Config
from ..errors import UserError
from ..former_names import former
from .places import inside
from .volume import NAME

HERE = Path(__file__).resolve().parents[2]  # configs/ lies here, on both sides


def settings(root: Any, config: str, overrides: str = "", data: Any = None) -> Config:
    """A preset of configs/, or of the volume, with ``"train.epochs=30 train.batch-size 2"`` applied.

    Without ``config`` it is the defaults, whose survey is the challenge's. ``root``: the volume's folder, or a
    ``Listing`` of it. ``UserError`` where there is no such preset or setting.
    """
    extra = words(overrides) + ([f"--data.root={data}"] if data else [])
    if not config:
        values = configs.with_overrides(configs.as_dict(Config()), extra)
        return configs.from_dict(values, "--overrides")
    if preset_here(config):
        return configs.load(HERE / config, extra)
    path = _on_volume(root, config)
    if isinstance(path, Path):
        return configs.load(path, extra)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.write_text(path.read_text())
        try:
            return configs.load(copy, extra)
        except UserError as error:
            raise UserError(str(error).replace(str(copy), str(path))) from None


def preset_here(config: str) -> bool:
    """Whether ``config`` is a preset of configs/, which goes along into the containers."""
    path = (HERE / config).resolve()
    return path.is_file() and path.is_relative_to(HERE / "configs")


def _on_volume(root: Any, config: str) -> Any:
    with contextlib.suppress(UserError):
        if (path := inside(root, config, "config")).is_file():
            return path
    presets = ", ".join(f"configs/{path.name}" for path in sorted((HERE / "configs").glob("*.toml")))
    raise UserError(
        f"--config {config}: neither a preset ({presets}) nor on the volume; `modal volume put {NAME} FILE.toml /` "
        "brings one there"
    )


def words(overrides: str) -> list[str]:
    """``--overrides`` as the front doors take it; what the original guide called otherwise is answered."""
    try:
        split = shlex.split(overrides)
    except ValueError as error:
        raise UserError(f"--overrides {overrides!r}: {error}") from None
    for word in split:
        name = word.partition("=")[0].removeprefix("--")
        if "." in (new := former(name) or ""):
            raise UserError(f'{name} is called {new} here: --overrides "{new}=..."')
    return [f"--{word}" if re.match(r"[a-z]+\.[a-z]", word) else word for word in split]
