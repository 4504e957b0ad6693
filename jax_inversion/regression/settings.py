"""The ``[base]`` section of a preset."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..ranges import CountOrZero, Positive

BaseName: TypeAlias = Literal["none", "profile", "linear", "kernel"]


@dataclass(frozen=True)
class BaseConfig:
    """What the networks correct, and how the regressions are fitted."""

    regression: BaseName = "none"  # what the networks correct
    linear_penalty: Positive = 1.0  # of linear ridge regression, relative to the kernel's mean diagonal
    kernel_penalty: Positive = 0.03  # of kernel ridge regression
    dt_s: Positive = 0.016  # interval that the gathers are averaged to
    spacing_m: Positive = 5.0  # of the cells that velocities are averaged to
    most_samples: CountOrZero = 0  # training samples that are fitted, evenly chosen: time grows as their cube; 0: all
    input: Literal["arcsinh", "preprocessed"] = "arcsinh"  # gathers with gain and arcsinh, or as the networks see them
