"""Seismic shot gathers in, velocity models out.

The Python interface; each name is imported when it is first used, so ``import jax_inversion`` costs nothing:

    import jax_inversion as ji

    predictor = ji.load("runs/quickstart")
    prediction = predictor.predict(gathers, intervals=0.9)      # gathers (shot, time, receiver)
    ji.plot_model(prediction).savefig("model.png")

Velocity models are (x, depth) in km/s, gathers (shot, time, receiver), positions in metres, times in seconds.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import UserError
    from .inference.prediction import Prediction
    from .inference.predictor import Predictor
    from .interface import load, plot_gathers, plot_model, quality, refine, score, simulate
    from .survey import CHALLENGE, Survey

__version__ = "0.1.0"
__all__ = [
    "CHALLENGE",
    "Prediction",
    "Predictor",
    "Survey",
    "UserError",
    "load",
    "plot_gathers",
    "plot_model",
    "quality",
    "refine",
    "score",
    "simulate",
]

_HOMES = {
    "CHALLENGE": "survey",
    "Survey": "survey",
    "UserError": "errors",
    "Prediction": "inference.prediction",
    "Predictor": "inference.predictor",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'interface')}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Three functions of the interface share their names with front doors, ``python -m jax_inversion.simulate``. An
    imported door would take the function's place here, by the order of imports; so doors do not become attributes.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
