"""Samples in and out: the challenge's folders, the packed store, preprocessing, augmentation and the loader."""

from .augment import augment
from .folders import BadSample, Sample, check_samples, find_samples, read_gathers, read_velocity, write_sample
from .loader import batches, steps_per_epoch
from .preprocess import decimate, denormalise, normalise, scales
from .split import is_validation
from .store import Store, pack

__all__ = [
    "BadSample",
    "Sample",
    "Store",
    "augment",
    "batches",
    "check_samples",
    "decimate",
    "denormalise",
    "find_samples",
    "is_validation",
    "normalise",
    "pack",
    "read_gathers",
    "read_velocity",
    "scales",
    "steps_per_epoch",
    "write_sample",
]
