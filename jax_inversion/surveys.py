"""The survey of somebody's files: what they say of it, what completes that, and where it is kept beside samples."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from . import config
from .errors import UserError
from .files import write_aside
from .survey import CHALLENGE, Survey

log = logging.getLogger(__name__)

SURVEY_FILE = "survey.toml"
RECORDED = ("nx", "nz", "spacing_m", "nt", "dt_s", "source_x_m", "source_z_m", "receiver_x_m", "receiver_z_m")
DEPTHS = ("source_z_m", "receiver_z_m")
_CLOSE, _CLOSE_M = 1e-6, 0.01  # headers and presets write one number in different ways


def survey_of(
    geometry: Mapping[str, Any], path: Path | None, overrides: Sequence[str] = (), default: Survey | None = None
) -> Survey:
    """The survey that the files describe, a preset (or ``default``) and the command line completing it.

    ``UserError`` where something is said nowhere, or the files and the preset do not agree. Depths of 0 agree with any,
    and alone they are warned of: headers have 0 where nobody filled them in.
    """
    given = config.parse_overrides(overrides)
    if others := sorted(set(given) - {"survey"}):
        raise UserError(f"command line: --{others[0]}.* has no effect here; --survey.* has")
    known = config.load(path).survey.as_dict() if path else default.as_dict() if default else {}
    for name, found in geometry.items():
        if name in known and found != 0 and not _same(name, found, known[name]):
            raise UserError(f"{path}: survey.{name} is {known[name]}, in the files it is {found}")
    changed = config.with_overrides({"survey": {**geometry, **known}}, overrides)
    if missing := [name for name in CHALLENGE.as_dict() if name not in changed["survey"] and not hasattr(Survey, name)]:
        option = f"--survey.{missing[0].replace('_', '-')}"
        raise UserError(f"the files do not say survey.{', '.join(missing)}; give --survey FILE, or {option} and so on")
    survey = config.from_dict(changed, "the survey").survey
    said = {**known, **given.get("survey", {})}
    if flat := [name for name in DEPTHS if geometry.get(name) == 0 and name not in said]:
        option = f"--survey.{flat[0].replace('_', '-')}"
        log.warning("survey.%s: 0 in the files; where nobody filled it in, %s says better", " and ".join(flat), option)
    if assumed := [name for name in survey.as_dict() if name not in changed["survey"]]:
        words = ", ".join(f"survey.{name} {getattr(survey, name):g}" for name in assumed)
        log.warning(
            f"the files do not say, so assumed: {words}; --survey.{assumed[0].replace('_', '-')} and so on say better"
        )
    return survey


def refuse_other(data: Path | str, survey: Survey, whose: str) -> None:
    """``UserError`` where a file beside the samples in ``data`` says that they were recorded otherwise than ``survey``,
    ``whose`` it is; velocities and wavelet are taken to be chosen.
    """
    path = beside(Path(data))
    if path is None:
        return
    there = Survey.load(path)
    other = [name for name in RECORDED if not _same(name, getattr(there, name), getattr(survey, name))]
    if other:
        raise UserError(
            f"{path}: the samples there are of another survey than {whose}; it differs in {', '.join(other)}"
        )


def _same(name: str, found: Any, known: Any) -> bool:
    near_m = _CLOSE_M if name.endswith("_m") else 0.0
    return np.shape(found) == np.shape(known) and np.allclose(found, known, rtol=_CLOSE, atol=near_m)


def keep_survey(path: Path, survey: Survey) -> None:
    """Keep the survey beside its samples. ``UserError`` where those that are there have another."""
    if path.exists():
        there = config.load(path).survey
        if changes := survey.differences(there):
            name = changes[0]
            old, new = getattr(there, name), getattr(survey, name)
            values = "" if isinstance(new, tuple) else f" {old} -> {new}"
            more = f" and {len(changes) - 1} more" * (len(changes) > 1)
            raise UserError(f"{path}: samples of another survey are there ({name}{values}{more}); give another --out")
        return
    with write_aside(path) as aside:
        aside.write_text(
            "# The survey of the samples beside this file: --survey of the other doors, or [survey] of a preset.\n"
            + tomli_w.dumps({"survey": survey.as_dict()})
        )


def beside(source: Path | None) -> Path | None:
    """The survey that is kept beside the samples in ``source``, or beside their folder; None where there is neither."""
    folders = () if source is None else (source, source.parent)
    return next((path for folder in folders if (path := folder / SURVEY_FILE).is_file()), None)
