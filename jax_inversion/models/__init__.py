"""The models by name. A new one is a linen module of one member, called like ``Inversion``, and a line here."""

import numpy as np
from flax import linen as nn

from ..errors import UserError
from ..survey import Survey
from .inversion import Inversion

MODELS: dict[str, type[nn.Module]] = {"inversion": Inversion}


def build(name: str, survey: Survey, **fields) -> nn.Module:
    """The model ``name`` for ``survey``; ``fields`` are those of a preset's model section from ``embedding`` on."""
    if name not in MODELS:
        raise UserError(f"model.name is {name!r}; known: {', '.join(sorted(MODELS))}")
    model = MODELS[name](
        model_shape=survey.model_shape,
        receiver_x=_fractions(survey, survey.receiver_x_m),
        v_min_km_s=survey.v_min_km_s,
        v_max_km_s=survey.v_max_km_s,
        **fields,
    )
    if model.embedding % model.heads:
        raise UserError(f"model.embedding {model.embedding} is not a multiple of model.heads {model.heads}")
    if min(model.channels, default=0) < 4:
        raise UserError(f"model.channels is {model.channels}; it must name at least one stage, of 4 or more channels")
    return model


def source_x(survey: Survey) -> np.ndarray:
    """(shot,) float32: the models' second argument, the sources' positions as fractions of the section's width."""
    return np.array(_fractions(survey, survey.source_x_m), np.float32)


def _fractions(survey: Survey, positions_m: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(x / ((survey.nx - 1) * survey.spacing_m) for x in positions_m)
