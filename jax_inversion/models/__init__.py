"""The networks by name. A new one is a linen module of one member, called like ``Inversion``, and an entry in ``_ALL``.

Its settings are a frozen dataclass with a ``name``, which is the preset's section ``[model]``, and ``build(survey)``.
"""

from typing import Annotated, TypeAlias, Union

import numpy as np
from pydantic import Field

from ..survey import Survey
from .inversion import InversionConfig
from .traveltime import TraveltimeConfig

_ALL = (InversionConfig, TraveltimeConfig)

NETWORKS: dict[str, type] = {settings.name: settings for settings in _ALL}
Network: TypeAlias = Annotated[Union[_ALL], Field(discriminator="name")]  # noqa: UP007


def source_x(survey: Survey) -> np.ndarray:
    """(shot,) float32: the models' second argument, the sources' positions as fractions of the section's width."""
    return np.array(survey.fractions(survey.source_x_m), np.float32)
