"""The networks by name. A new one is a linen module of one member, called like ``Inversion``, and one of ``Network``.

Its settings are a frozen dataclass with a ``name``, which is the preset's section ``[model]``, and ``build(survey)``.
"""

from typing import Annotated, TypeAlias, get_args

import numpy as np
from pydantic import Field

from ..survey import Survey
from .inversion import InversionConfig
from .traveltime import TraveltimeConfig

Network: TypeAlias = Annotated[InversionConfig | TraveltimeConfig, Field(discriminator="name")]

NETWORKS: dict[str, type] = {settings.name: settings for settings in get_args(get_args(Network)[0])}


def sees_residual(settings: Network) -> bool:
    """Whether a network of these settings looks at what its base leaves of the gathers."""
    return getattr(settings, "residual", False)


def source_x(survey: Survey) -> np.ndarray:
    """(shot,) float32: the models' second argument, the sources' positions as fractions of the section's width."""
    return np.array(survey.fractions(survey.source_x_m), np.float32)
