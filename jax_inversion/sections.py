"""The sections of a preset that no single room owns, each a frozen dataclass."""

from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import UserError
from .ranges import Count, CountOrZero, Fraction, NonNegative, Positive, Share
from .regression import BaseName

# What of [train] a group has of its own, for its optimiser; the rest is of the run.
OWN_TRAINING = (
    "optimiser", "learning_rate", "warmup_fraction", "final_fraction", "weight_decay", "clip_norm", "ema_decay",
)  # fmt: skip


@dataclass(frozen=True)
class SimulateConfig:
    """Data that the pipeline makes for itself when it is given none."""

    train_count: CountOrZero = 0
    test_count: CountOrZero = 0
    seed: CountOrZero = 0
    geology: str = "marine"
    test_geology: str = ""  # of the test samples; empty: as the others
    workers: CountOrZero = 0  # processes; 0: one a core


@dataclass(frozen=True)
class DataConfig:
    """Where samples lie and which of them validate."""

    root: str = ""  # a folder with train/ and test/
    source: Literal["folders", "simulated"] = "folders"  # of training samples; simulated ones need no folder
    validation_fraction: Fraction = 0.1
    split_seed: CountOrZero = 0
    skip_bad: bool = False


@dataclass(frozen=True)
class GroupConfig:
    """Members of another kind than the preset's own, an ``[[ensemble.group]]``: what differs from the preset."""

    members: Count = 1
    base: BaseName | None = None  # what they correct; None: what the others do
    model: dict[str, Any] = field(default_factory=dict)  # with another ``name`` its own defaults hold, not the preset's
    augment: dict[str, Any] = field(default_factory=dict)
    loss: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EnsembleConfig:
    """``members`` of the preset's own [model], and groups of others beside them; one vector of weights over all."""

    members: Count = 3
    # The training samples that a member sees: all; as many, drawn with replacement; all but its own part of them.
    resample: Literal["none", "bootstrap", "fold"] = "none"
    group: tuple[GroupConfig, ...] = ()


@dataclass(frozen=True)
class TrainConfig:
    start: str = ""  # a run, a checkpoint, a model file or "pretrained", whose weights and base training starts from
    epochs: Count = 100
    batch_size: Count = 4  # samples a member and step
    spacing_m: NonNegative = 0.0  # of the grid that the loss is taken on; 0: the survey's own
    accumulate: Count = 1  # steps whose gradients make one update
    optimiser: Literal["adamw", "muon"] = "adamw"
    learning_rate: Positive = 1e-4
    warmup_fraction: Fraction = 0.05
    final_fraction: Share = 0.0  # of the learning rate, at the end of the cosine
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

    def __post_init__(self) -> None:
        if self.noise_copies and not self.noise_level:
            raise UserError("infer.noise_copies without infer.noise_level would average equal predictions; set both")
        if self.noise_level and not self.noise_copies:
            raise UserError("infer.noise_level acts on infer.noise_copies alone, and there are none; set both")


@dataclass(frozen=True)
class RefineConfig:
    """How predictions are refined by the wave equation."""

    on: bool = False  # in the pipeline; the door ``refine`` refines in any case
    spacing_m: Positive = 10.0  # of the simulator's cells, and of those that the correction is drawn on
    bands_hz: tuple[Positive, ...] = (4.0, 8.0, 15.0)  # the data up to each, one after the other
    steps: Count = 3  # Gauss-Newton steps in a band, at most
    products: Count = 30  # of the linearised simulator and its adjoint in a step
    noise: Positive = 0.01  # what the simulator leaves of the data, at least; a band that is fitted as well is done
    # Below it noise grows as 1 / f: float32 in the run that made the challenge's data left 10 % at 1 Hz, 2 % at 4 Hz.
    noise_corner_hz: NonNegative = 10.0
    prior_samples: Count = 480  # of training, whose errors say what a correction looks like
    hold_out: CountOrZero = 0  # the shot (from 1) that judges and is not fitted; 0: the one in the middle
    most_misfit: Share = 0.7  # at the start: a sample that is further from its data comes back as it was
    workers: CountOrZero = 0  # processes; 0: one a core

    def __post_init__(self) -> None:
        if not self.bands_hz or list(self.bands_hz) != sorted(set(self.bands_hz)):
            raise UserError("refine.bands_hz must name one frequency or more, each above the one before")


@dataclass(frozen=True)
class TrackConfig:
    """wandb: ``auto`` is online where a key is set and offline elsewhere."""

    wandb: Literal["auto", "online", "offline", "off"] = "auto"
    project: str = "jax-inversion"
    figure_every: Count = 10  # epochs
