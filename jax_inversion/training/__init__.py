"""Training: state, step, optimiser, loop, checkpoints, tracking."""

from .base import Base, fit_base, possible, simulated_for
from .catalogue import list_checkpoints, resolve
from .checkpoints import Restored, restore
from .loop import fit
from .resume import check_run
from .samples import Samples, split
from .tracking import read_metrics
from .watch import Diverged

__all__ = [
    "Base",
    "Diverged",
    "Restored",
    "Samples",
    "check_run",
    "fit",
    "fit_base",
    "list_checkpoints",
    "possible",
    "read_metrics",
    "resolve",
    "restore",
    "simulated_for",
    "split",
]
