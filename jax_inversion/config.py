"""The one configuration: frozen dataclasses, loaded from ``configs/*.toml``, overridden on the command line.

``load("configs/quickstart.toml", ["--train.batch-size", "2"])`` returns a validated ``Config``. Unknown sections and
keys are refused with the nearest known one.
"""

import dataclasses
import difflib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, TypeAdapter, ValidationError

from .errors import UserError
from .files import write_aside
from .regression.settings import BaseConfig
from .survey import CHALLENGE, Survey

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]


@dataclass(frozen=True)
class SimulateConfig:
    """Data that the pipeline makes for itself when it is given none."""

    train_count: CountOrZero = 0
    test_count: CountOrZero = 0
    seed: CountOrZero = 0
    geology: str = "marine"
    workers: CountOrZero = 0  # processes; 0: one a core


@dataclass(frozen=True)
class DataConfig:
    """Where samples lie and which of them validate."""

    root: str = ""  # a folder with train/ and test/
    validation_fraction: Fraction = 0.1
    split_seed: CountOrZero = 0
    skip_bad: bool = False


@dataclass(frozen=True)
class PreprocessConfig:
    """From raw gathers to the network's input."""

    dt_s: Positive = 1e-3
    low_cut_hz: NonNegative = 0.0  # 0: no cut
    high_cut_hz: NonNegative = 0.0
    scaling: Literal["global", "shot", "trace"] = "global"
    gain_power: NonNegative = 0.0  # amplitudes times (t / 1 s) ** gain_power
    arcsinh: NonNegative = 0.0  # 0: off; otherwise asinh(arcsinh * a) / arcsinh after scaling and gain


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes to training samples, drawn anew for each member, sample and step."""

    mirror: Annotated[float, Field(ge=0, le=1)] = 0.5  # probability
    noise: NonNegative = 0.0  # standard deviation, in units of the data's
    amplitude: Fraction = 0.0  # gains are uniform in 1 -+ this
    shift_s: NonNegative = 0.0  # time shifts of a whole sample, uniform in -+ this
    drop_traces: Fraction = 0.0  # probability of a dead trace


@dataclass(frozen=True)
class ModelConfig:
    """Shape of one member."""

    name: str = "inversion"
    embedding: Count = 512
    heads: Count = 8
    layers: Count = 6
    dropout: Fraction = 0.1
    channels: tuple[Count, ...] = (64, 128, 256)  # of the encoder's multi-scale stages
    stem_patch: tuple[Count, Count] = (4, 1)  # (time samples, receivers) that one stem token covers
    token_grid: tuple[Count, Count] = (16, 8)  # (time, receiver) tokens a shot after pooling
    cross_source_layers: CountOrZero = 2
    upsampling: tuple[Count, ...] = (256, 128, 64, 32)  # channels of the decoder's upsampling stages
    output: Literal["softplus", "bounded"] = "softplus"
    dtype: Literal["float32", "bfloat16"] = "float32"
    remat: bool = False

    @property
    def architecture(self) -> dict[str, Any]:
        """The fields that shape the network: what ``models.build`` takes."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "name"}


@dataclass(frozen=True)
class EnsembleConfig:
    members: Count = 3


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms."""

    mape: NonNegative = 1.0
    l2: NonNegative = 0.3
    gradient: NonNegative = 0.2
    total_variation: NonNegative = 0.1
    physics: NonNegative = 0.1


@dataclass(frozen=True)
class TrainConfig:
    epochs: Count = 100
    batch_size: Count = 4  # samples a member and step
    spacing_m: NonNegative = 0.0  # of the grid that the loss is taken on; 0: the survey's own
    accumulate: Count = 1  # steps whose gradients make one update
    learning_rate: Positive = 1e-4
    warmup_fraction: Fraction = 0.05
    final_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0  # of the learning rate, at the end of the cosine
    weight_decay: NonNegative = 1e-2
    clip_norm: Positive = 1.0
    ema_decay: Fraction = 0.0  # 0: no average of the weights
    checkpoint_every: Count = 10  # epochs between kept checkpoints
    validate_every: Count = 1  # epochs
    seed: CountOrZero = 0


@dataclass(frozen=True)
class InferConfig:
    batch_size: Count = 4
    mirror: bool = True
    noise_copies: CountOrZero = 0
    noise_level: NonNegative = 0.0  # in units of the data's standard deviation
    smoothing_m: NonNegative = 0.0  # standard deviation of the Gaussian
    clip: bool = True


@dataclass(frozen=True)
class TrackConfig:
    """wandb: ``auto`` is online where a key is set and offline elsewhere."""

    wandb: Literal["auto", "online", "offline", "off"] = "auto"
    project: str = "jax-inversion"
    figure_every: Count = 10  # epochs


@dataclass(frozen=True)
class Config:
    survey: Survey = CHALLENGE
    simulate: SimulateConfig = field(default_factory=SimulateConfig)
    data: DataConfig = field(default_factory=DataConfig)
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    base: BaseConfig = field(default_factory=BaseConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    ensemble: EnsembleConfig = field(default_factory=EnsembleConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    infer: InferConfig = field(default_factory=InferConfig)
    track: TrackConfig = field(default_factory=TrackConfig)


_ADAPTER = TypeAdapter(Config)


def from_dict(values: dict[str, Any], where: str = "config") -> Config:
    """Validate nested ``values``; ``UserError`` names ``where`` and the key, what was found and what is right."""
    _refuse_unknown(values, where)
    if "survey" in values:
        values = values | {"survey": CHALLENGE.as_dict() | values["survey"]}
    try:
        return _ADAPTER.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{where}: {key}: {first['msg']}, found {first['input']!r}") from None


def load(path: Path | str, overrides: Sequence[str] = ()) -> Config:
    """Read a preset and apply overrides such as ``--train.batch-size 2`` or ``--train.batch-size=2``."""
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; presets lie in configs/") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: not a readable TOML file: {error}") from None
    _refuse_unknown(values, str(path))
    changes = parse_overrides(overrides)
    for section, fields in changes.items():
        values[section] = values.get(section, {}) | fields
    return from_dict(values, f"{path} and the command line" if changes else str(path))


def save(config: Config, path: Path | str) -> None:
    """Write every field, defaults included, as TOML."""
    with write_aside(path) as aside:
        aside.write_text(tomli_w.dumps(as_dict(config)))


def as_dict(config: Config) -> dict[str, Any]:
    """Plain nested values, fit for TOML and JSON."""
    return _ADAPTER.dump_python(config, mode="json")


def parse_overrides(arguments: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``["--train.batch-size", "2"]`` becomes ``{"train": {"batch_size": "2"}}``; lists are written ``8,4``."""
    sections = {f.name: {g.name: g for g in dataclasses.fields(f.type)} for f in dataclasses.fields(Config)}
    changes: dict[str, dict[str, Any]] = {}
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
        _refuse_unknown({section: {key: value}}, "command line")
        is_list = str(sections[section][key].type).startswith("tuple")
        changes.setdefault(section, {})[key] = [v for v in value.split(",") if v] if is_list else value
    return changes


def _refuse_unknown(values: dict[str, Any], where: str) -> None:
    known = {f.name: [g.name for g in dataclasses.fields(f.type)] for f in dataclasses.fields(Config)}
    for section, fields in values.items():
        if section not in known:
            raise UserError(f"{where}: unknown section [{section}]{_nearest(section, list(known))}")
        if not isinstance(fields, dict):
            raise UserError(f"{where}: {section} is {fields!r}; it must be a section of keys")
        for key in fields:
            if key not in known[section]:
                raise UserError(f"{where}: unknown key {section}.{key}{_nearest(key, known[section])}")


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
