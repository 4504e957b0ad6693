"""Samples made by the simulator: what one is made of, and the processes that make many."""

from .job import Job, ids_of, is_whole, make
from .workers import core_count, run

__all__ = ["Job", "core_count", "ids_of", "is_whole", "make", "run"]
