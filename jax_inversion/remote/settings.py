"""Presets by the name that a user of the volume gives them."""

import re
import shlex
from pathlib import Path

from .. import config as configs
from ..config import Config


def settings(root: Path, config: str, overrides: str = "", data: Path | None = None) -> Config:
    """A preset of configs/, or below ``root``, with ``"train.epochs=30 train.batch-size 2"`` applied."""
    path = next((p for p in (Path(config), root / config) if p.is_file()), Path(config))
    words = [f"--{word}" if re.match(r"[a-z]+\.[a-z]", word) else word for word in shlex.split(overrides)]
    return configs.load(path, [*words, *([f"--data.root={data}"] if data else [])])
