"""The sections of a preset that no single room owns, each a frozen dataclass."""

import math
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

    train_count: CountOrZero = 0  # training samples
    fresh_every: CountOrZero = 0  # epochs, after which as many others, made meanwhile, are trained on; 0: never
    test_count: CountOrZero = 0  # test samples, in the challenge's layout
    seed: CountOrZero = 0  # another seed, other samples
    geology: str = "marine"  # of the models: a preset, or a mixture such as "marine:3 salt:1"
    test_geology: str = ""  # of the test samples; empty: as the others
    workers: CountOrZero = 0  # processes; 0: one a core


@dataclass(frozen=True)
class DataConfig:
    """Where samples lie and which of them validate."""

    root: str = ""  # a folder with train/ and test/; with source "store" a run
    # Of training samples: below root; the packed ones of the run root; simulated as [simulate] says (straight into a
    # store); or some below root and some simulated.
    source: Literal["folders", "store", "simulated", "mixed"] = "folders"
    simulated_share: Share = 0.5  # of the samples that a member sees, where they are mixed
    validation_fraction: Fraction = 0.1  # of the samples, left out of training and scored after each epoch
    split_seed: CountOrZero = 0  # another seed, other validation samples
    skip_bad: bool = False  # leave bad samples out; otherwise they are named and nothing is done


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

    members: Count = 3  # of the preset's own [model]
    # The training samples that a member sees: all; as many, drawn with replacement; all but its own part of them.
    resample: Literal["none", "bootstrap", "fold"] = "none"
    group: tuple[GroupConfig, ...] = ()


@dataclass(frozen=True)
class TrainConfig:
    start: str = ""  # a run, a checkpoint, a model file or "pretrained", whose weights and base training starts from
    epochs: Count = 100  # times that each training sample is seen
    batch_size: Count = 4  # samples a member and step
    spacing_m: NonNegative = 0.0  # of the grid that the loss is taken on; 0: the survey's own
    accumulate: Count = 1  # steps whose gradients make one update
    optimiser: Literal["adamw", "muon"] = "adamw"  # muon: orthogonalised steps of matrices, AdamW for the rest
    learning_rate: Positive = 1e-4  # at its highest
    warmup_fraction: Fraction = 0.05  # of the steps, in which the learning rate rises
    final_fraction: Share = 0.0  # of the learning rate, at the end of the cosine
    weight_decay: NonNegative = 1e-2  # times the learning rate, a step
    clip_norm: Positive = 1.0  # of a member's gradient, at most
    ema_decay: Fraction = 0.0  # of the weights' running average, which predicts; 0: no average
    checkpoint_every: Count = 10  # epochs between kept checkpoints
    validate_every: Count = 1  # epochs
    seed: CountOrZero = 0  # of first weights, order of samples and augmentation


@dataclass(frozen=True)
class InferConfig:
    batch_size: Count = 4  # samples at a time
    mirror: bool = True  # average with the mirror image of what mirrored gathers give
    noise_copies: CountOrZero = 0  # of the gathers, with noise, to average over
    noise_level: NonNegative = 0.0  # in units of the data's standard deviation
    smoothing_m: NonNegative = 0.0  # standard deviation of a Gaussian that models are smoothed with
    clip: bool = True  # models to the survey's range of velocity
    # In the pipeline's report: shares of the cells that intervals are to hold. The doors have --intervals.
    intervals: tuple[Share, ...] = (0.5, 0.8, 0.9)

    def __post_init__(self) -> None:
        if self.noise_copies and not self.noise_level:
            raise UserError("infer.noise_copies without infer.noise_level would average equal predictions; set both")
        if self.noise_level and not self.noise_copies:
            raise UserError("infer.noise_level acts on infer.noise_copies alone, and there are none; set both")
        if not all(0 < level < 1 for level in self.intervals) or list(self.intervals) != sorted(set(self.intervals)):
            raise UserError("infer.intervals must name shares between 0 and 1, each above the one before")


@dataclass(frozen=True)
class RefineConfig:
    """How predictions are refined by the wave equation."""

    on: bool = False  # in the pipeline; the door ``refine`` refines in any case
    spacing_m: Positive = 10.0  # of the simulator's cells, and of those that the correction is drawn on
    bands_hz: tuple[Positive, ...] = (4.0, 8.0, 15.0, 25.0)  # the data up to each, one after the other
    steps: Count = 3  # Gauss-Newton steps in a band, at most
    products: Count = 90  # of the linearised simulator and its adjoint in a step of the last band; fewer in lower ones
    noise: Positive = 0.003  # what the simulator leaves of each trace, at least; a band that is fitted as well is done
    # What a shot's receivers share is noisier below it, as 1 / f: by 3 % at 4 Hz, as the challenge's data are.
    noise_corner_hz: NonNegative = 40.0
    prior_samples: Count = 480  # of training, whose errors say what a correction looks like
    hold_out: CountOrZero = 0  # the shot (from 1) that judges and is not fitted; 0: the one in the middle
    most_misfit: Share = 0.7  # at the start: a sample that is further from its data comes back as it was
    calibration_samples: Count = 40  # of validation, refined once for intervals
    intervals: bool = False  # in the pipeline: those of infer.intervals for refined models too, minutes more
    workers: CountOrZero = 0  # processes; 0: one a core

    def __post_init__(self) -> None:
        if not self.bands_hz or list(self.bands_hz) != sorted(set(self.bands_hz)):
            raise UserError("refine.bands_hz must name one frequency or more, each above the one before")

    @property
    def band_products(self) -> list[int]:
        """Products in a step of each band: data to a lower frequency tell less."""
        return [math.ceil(self.products * high_hz / self.bands_hz[-1]) for high_hz in self.bands_hz]


@dataclass(frozen=True)
class TrackConfig:
    """wandb: ``auto`` is online where a key is set and offline elsewhere."""

    wandb: Literal["auto", "online", "offline", "off"] = "auto"  # where the figures go besides metrics.jsonl
    project: str = "jax-inversion"  # at wandb
    figure_every: Count = 10  # epochs between figures of predictions
