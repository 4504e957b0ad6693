"""Names and folders on the volume. Light, and content with ``volume.Listing`` for ``root``: the client asks too."""

import json
import re
import tomllib
import zlib
from pathlib import PurePosixPath
from typing import Any

from ..errors import UserError
from ..former_names import former
from .volume import MOUNT, NAME

Root = Any  # a Path where the volume is mounted, a volume.Listing where it is not
COMMAND = "modal run modal_jobs.py::"
EMPTY = (
    f"the volume {NAME} has no {{split}} samples (looked in {{places}}). Upload the challenge's: "
    f"`modal volume put {NAME} {{split}}.zip /`, then `{COMMAND}unpack --archive {{split}}.zip --into {{split}}`; or "
    f"make some: `{COMMAND}simulate --count {{count}} --out {{split}} --seed {{seed}}`, or all of it with "
    "`modal run modal_jobs.py --simulated`"
)
NO_TRUTH = (
    f"the volume {NAME} has no true models (looked in {{places}}): name a folder that has them with --truth, or upload "
    f"one with `modal volume put {NAME} truth /truth`"
)
# Sets that follow this advice have no sample in common.
ADVICE = {"train": {"count": 1000, "seed": 1}, "test": {"count": 100, "seed": 2}}


def run_name(run: str, config: str = "") -> str:
    """``run``, or the name of the preset. ``UserError`` for what would be another folder than one of models/."""
    run = run or PurePosixPath(config).stem
    if not re.fullmatch(r"\w[\w.+-]*", run):
        raise UserError(f"--run {run!r}: right is a plain name, of letters, digits, '_', '-', '.' and '+'")
    return run


def inside(root: Root, path: str, option: str) -> Root:
    """The place of ``path`` on the volume; /vol/train and train are the same. ``UserError`` where it leaves it."""
    pure = PurePosixPath(path)
    for mount in (str(root), MOUNT):
        if pure.is_relative_to(mount):
            pure = pure.relative_to(mount)
    if pure.is_absolute() or ".." in pure.parts:
        raise UserError(f"--{option} {path}: not on the volume; right is a path such as simulated/train")
    return root / str(pure)


def checkpoint(name: str) -> str:
    """A checkpoint's name; those of the original guide are understood."""
    if "/" in name or name.startswith("."):
        raise UserError(f"--checkpoint-name {name!r}: right is best, latest or epoch_<n>")
    return former(name) or name


def run_folder(root: Root, run: str) -> Root:
    """The folder of a run that is there. ``UserError`` lists those there are."""
    place = root / "models" / run_name(run)
    if (place / "config.toml").is_file():
        return place
    models = root / "models"
    there = [path.name for path in models.iterdir() if (path / "config.toml").is_file()] if models.is_dir() else []
    raise UserError(f"no run {run!r} on the volume {NAME}; it has {', '.join(sorted(there)) or 'none yet'}")


def checkpoint_names(place: Root) -> list[str]:
    """What a run's checkpoints say that they are called, and their folders: best, latest, epochs, steps in order.

    One that cannot be read counts as best and latest, in place of which ``training.restore`` takes another.
    """
    folder, names = place / "checkpoints", set()
    for step in folder.iterdir() if folder.is_dir() else ():
        if step.name.startswith("step_") and step.is_dir():
            names |= {step.name, "latest"}
            try:
                names |= set(json.loads((step / "checkpoint.json").read_text())["checkpoint"]["names"])
            except (OSError, ValueError, KeyError, TypeError):
                names.add("best")
    return sorted(names, key=lambda name: (name.startswith("step_"), name.startswith("epoch_"), len(name), name))


def data_folder(root: Root, data: str, run: str, split: str = "") -> Root:
    """The folder with ``split``/ (or any): ``data``, else what the run was trained with, its own, the volume's."""
    places = [inside(root, data, "data")] if data else []
    if run and not data:
        places = [*_recorded(root, run), root / "models" / run / "data"]
    places += [] if data else [root]
    for place in places:
        if any(_has_samples(place / name) for name in ([split] if split else ["train", "test"])):
            return place
    looked = ", ".join(dict.fromkeys(str(place / split) for place in places))
    text = NO_TRUTH if split == "truth" else EMPTY
    split = split or "train"
    raise UserError(text.format(split=split, places=looked, **ADVICE.get(split, {})))


def writable(folder: Root) -> None:
    """``UserError`` where a file is in the way of a folder that a stage writes to."""
    place = folder
    while place.parent != place and not place.is_dir():
        if place.is_file():
            raise UserError(f"{place}: is a file, where a folder is wanted; `modal volume rm {NAME} ...` removes it")
        place = place.parent


def seed_of(out: str) -> int:
    """The seed of a simulated set for which none is given: another for each folder, always the same for one."""
    return zlib.crc32(str(PurePosixPath(out)).encode()) % 1_000_000


def _recorded(root: Root, run: str) -> list[Root]:
    """Where the run's config says that its samples lie; they may have been moved since."""
    config = root / "models" / run / "config.toml"
    try:
        known = tomllib.loads(config.read_text())["data"]["root"] if config.is_file() else ""
        return [inside(root, known, "data")] if known else []
    except (UserError, tomllib.TOMLDecodeError, KeyError, TypeError):
        return []


def _has_samples(folder: Root) -> bool:
    samples = (entry for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else ()
    return any(file.name.endswith(".npy") for sample in samples for file in sample.iterdir())
