"""The one configuration: frozen dataclasses, loaded from ``configs/*.toml``, overridden on the command line.

``load("configs/quickstart.toml", ["--train.batch-size", "2"])`` returns a validated ``Config``. Unknown sections and
keys are refused with the nearest known one. Sections that describe a room's own work are defined in that room.
"""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import TypeAdapter, ValidationError

from .data.augment import AugmentConfig
from .data.preprocess import PreprocessConfig
from .errors import UserError
from .files import read_toml, write_aside
from .losses import LossConfig
from .models import NETWORKS, InversionConfig, Network, sees_residual
from .physics.settings import SimulatorConfig
from .regression import BaseConfig
from .sections import (
    OWN_TRAINING,
    DataConfig,
    EnsembleConfig,
    GroupConfig,
    InferConfig,
    RefineConfig,
    SimulateConfig,
    TrackConfig,
    TrainConfig,
)
from .survey import CHALLENGE, Survey


@dataclass(frozen=True)
class Config:
    survey: Survey = CHALLENGE
    simulator: SimulatorConfig = field(default_factory=SimulatorConfig)
    simulate: SimulateConfig = field(default_factory=SimulateConfig)
    data: DataConfig = field(default_factory=DataConfig)
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    base: BaseConfig = field(default_factory=BaseConfig)
    model: Network = field(default_factory=InversionConfig)
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    infer: InferConfig = field(default_factory=InferConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    track: TrackConfig = field(default_factory=TrackConfig)

    def __post_init__(self) -> None:
        if self.loss.time and self.model.name != "traveltime":
            raise UserError(f"loss.time has no effect on model.name {self.model.name!r}: right is 'traveltime', or 0")
        if self.simulate.fresh_every and self.data.source != "simulated":
            raise UserError(
                f"simulate.fresh_every has no effect with data.source {self.data.source!r}: right is 'simulated', or 0"
            )
        if sees_residual(self.model) and self.base.regression == "none":
            raise UserError("model.residual looks at what a base leaves of the gathers; base.regression is 'none'")
        if self.ensemble.resample == "fold" and self.total_members < 2:
            raise UserError("ensemble.resample 'fold' leaves a part out for each of several members, here is one")

    @property
    def total_members(self) -> int:
        """Of all groups."""
        return self.ensemble.members + sum(group.members for group in self.ensemble.group)

    @cached_property
    def groups(self) -> "dict[str, Config]":
        """A configuration of its own, without further groups, for each group of members: the preset's own first.

        They are called after their networks, and where one is there already, after the base or by number too.
        """
        own: Config = dataclasses.replace(self, ensemble=EnsembleConfig(self.ensemble.members))
        found: dict[str, Config] = {own.model.name: own}
        for k, group in enumerate(self.ensemble.group, 2):
            config = _group(own, group, f"ensemble.group {k - 1}")
            plain = config.model.name
            names = plain, f"{plain}_{config.base.regression}", f"{plain}_{k}"
            found[next(name for name in names if name not in found)] = config
        return found


PRESETS = Path(__file__).with_name("presets")  # the folder configs/, as a wheel carries it
SECTIONS = tuple(f.name for f in dataclasses.fields(Config))
_ADAPTER = TypeAdapter(Config)
_SECTIONS: dict[str, Any] = {f.name: f.type for f in dataclasses.fields(Config) if f.name != "model"}
_DEFAULT_NETWORK = InversionConfig.name


def from_dict(values: Mapping[str, Any], where: str = "config") -> Config:
    """Validate nested ``values``; ``UserError`` names ``where`` and the key, what was found and what is right."""
    _refuse_unknown(values, where)
    values = dict(values)
    if "survey" in values:
        values["survey"] = Survey.from_dict(values["survey"], where)
    if "model" in values:
        values["model"] = {"name": _DEFAULT_NETWORK} | values["model"]
    try:
        config = _ADAPTER.validate_python(values)
        _ = config.groups  # refuses what is wrong in one of them
        return config
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if part not in NETWORKS)
        raise UserError(f"{where}: {key}: {first['msg']}, found {first['input']!r}") from None
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _group(own: Config, group: GroupConfig, where: str) -> Config:
    """``own`` with what a group changes."""
    values = as_dict(own)
    if others := sorted(set(group.train) - {*OWN_TRAINING}):
        raise UserError(f"{where}: train.{others[0]} is of the whole run; a group has {', '.join(OWN_TRAINING)}")
    model = values["model"]
    values["model"] = (model if group.model.get("name", model["name"]) == model["name"] else {}) | group.model
    for section in ("augment", "loss", "train"):
        values[section] |= getattr(group, section)
    values["base"]["regression"] = group.base or values["base"]["regression"]
    values["ensemble"]["members"] = group.members
    if "time" not in group.loss and values["model"].get("name") != "traveltime":
        values["loss"]["time"] = 0.0  # the others' term, that these networks do not have
    return from_dict(values, where)


def load(path: Path | str, overrides: Sequence[str] = ()) -> Config:
    """Read a preset, a file or one of the package's by name, such as quickstart, and apply overrides.

    These are written ``--train.batch-size 2`` or ``--train.batch-size=2``. ``UserError`` for what is wrong in either.
    """
    path = Path(path)
    if not path.suffix and not path.exists() and (shipped := PRESETS / f"{path.name}.toml").is_file():
        path = shipped
    values = read_toml(path, f"right is a preset's file, or one of {', '.join(preset_names())}")
    _refuse_unknown(values, str(path))
    changed = with_overrides(values, overrides)
    return from_dict(changed, f"{path} and the command line" if overrides else str(path))


def preset_names() -> list[str]:
    """Of the presets that come with the package."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def survey_and_simulator(path: Path | None, spacing_m: str | None = None, overrides: Sequence[str] = ()) -> Config:
    """What doors without a run need: a preset's survey and simulator, or the challenge's; these two may be changed."""
    if others := sorted(set(parse_overrides(overrides)) - {"survey", "simulator"}):
        raise UserError(f"command line: --{others[0]}.* has no effect here; --survey.* and --simulator.* have")
    overrides = [*overrides, *([f"--simulator.spacing-m={spacing_m}"] if spacing_m else [])]
    if path is not None:
        return load(path, overrides)
    return from_dict(with_overrides(as_dict(Config()), overrides), "command line")


def save(config: Config, path: Path | str) -> None:
    """Write every field, defaults included, as TOML."""
    with write_aside(path) as aside:
        aside.write_text(tomli_w.dumps(as_dict(config)))


def as_dict(config: Config) -> dict[str, Any]:
    """Plain nested values, fit for TOML and JSON."""
    return _ADAPTER.dump_python(config, mode="json", exclude_none=True)  # TOML has no None


def with_overrides(values: Mapping[str, Any], arguments: Sequence[str]) -> dict[str, Any]:
    """Nested ``values`` with ``["--train.batch-size", "2"]`` applied; lists are written ``8,4``."""
    changed = {section: dict(fields) for section, fields in values.items()}
    given = parse_overrides(arguments)
    if "survey" in given and "survey" not in changed:
        changed["survey"] = CHALLENGE.as_dict()
    network = given.get("model", {}).get("name") or changed.get("model", {}).get("name", _DEFAULT_NETWORK)
    for section, fields in given.items():
        kinds = _fields_of(section, network)
        for key, value in fields.items():
            _refuse_unknown({section: {"name": network, key: value} if section == "model" else {key: value}}, "--")
            if (section, key) == ("ensemble", "group"):
                raise UserError("command line: groups of members are written in the preset, as [[ensemble.group]]")
            is_list = str(kinds[key].type).startswith("tuple")
            changed.setdefault(section, {})[key] = [v for v in value.split(",") if v] if is_list else value
    return changed


def parse_overrides(arguments: Sequence[str]) -> dict[str, dict[str, str]]:
    """``["--train.batch-size", "2"]`` becomes ``{"train": {"batch_size": "2"}}``; ``UserError`` for what is neither."""
    changes: dict[str, dict[str, str]] = {}
    queue = list(arguments)
    while queue:
        word = queue.pop(0)
        if not word.startswith("--") or "." not in word:
            raise UserError(f"{word!r} is not an option; a setting is changed as in --train.batch-size 2")
        name, equals, value = word[2:].partition("=")
        if not equals:
            if not queue:
                raise UserError(f"--{name} needs a value")
            value = queue.pop(0)
        section, _, key = name.replace("-", "_").partition(".")
        _refuse_unknown({section: {}}, "command line")
        changes.setdefault(section, {})[key] = value
    return changes


def keys(section: str) -> list[str]:
    """Names of a section's settings, those of all networks for [model]."""
    kinds = NETWORKS.values() if section == "model" else [_SECTIONS[section]]
    return list(dict.fromkeys(f.name for kind in kinds for f in dataclasses.fields(kind)))


def _fields_of(section: str, network: str) -> dict[str, dataclasses.Field]:
    kind = NETWORKS.get(network, InversionConfig) if section == "model" else _SECTIONS[section]
    return {f.name: f for f in dataclasses.fields(kind)}


def _refuse_unknown(values: Mapping[str, Any], where: str) -> None:
    known = ["survey", "model", *_SECTIONS]
    where = "command line" if where == "--" else where
    for section, fields in values.items():
        if section not in known:
            raise UserError(f"{where}: unknown section [{section}]{_nearest(section, known)}")
        if not isinstance(fields, Mapping):
            raise UserError(f"{where}: {section} is {fields!r}; it must be a section of keys")
        network = fields.get("name", _DEFAULT_NETWORK)
        if section == "model" and network not in NETWORKS:
            raise UserError(f"{where}: model.name is {network!r}; known: {', '.join(sorted(NETWORKS))}")
        _refuse_unknown_keys(fields, list(_fields_of(section, network)), f"{where}: unknown key {section}.")
    groups = values.get("ensemble", {}).get("group", ())
    for group in groups if isinstance(groups, list | tuple) else ():
        if isinstance(group, Mapping):
            names = [f.name for f in dataclasses.fields(GroupConfig)]
            _refuse_unknown_keys(group, names, f"{where}: unknown key ensemble.group.")


def _refuse_unknown_keys(fields: Mapping[str, Any], names: Sequence[str], words: str) -> None:
    for key in fields:
        if key not in names:
            raise UserError(f"{words}{key}{_nearest(key, names)}")


def _nearest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
