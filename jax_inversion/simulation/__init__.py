"""Samples made by the simulator: what one is made of, the processes that make many, how they match recorded ones."""

from .calibration import calibrate
from .filling import simulated_store
from .job import Job
from .sets import make_set

__all__ = ["Job", "calibrate", "make_set", "simulated_store"]
