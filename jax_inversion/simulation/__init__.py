"""Samples made by the simulator: what one is made of, the processes that make many, how they match recorded ones."""

from .calibration import calibrate
from .job import Job
from .sets import make_set
from .workers import core_count

__all__ = ["Job", "calibrate", "core_count", "make_set"]
