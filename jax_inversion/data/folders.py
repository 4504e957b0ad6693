"""The challenge's folders of samples, read with suspicion and written whole.

A sample is a folder named by its id with one ``.npy`` of (time, receiver) a shot and, where the truth is known, the
velocity model. Whatever is wrong with a sample is a ``BadSample`` that names the path and the reason.
"""

import sys
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import UserError
from ..files import save_array, write_aside
from ..progress import track
from ..survey import Survey

PLAUSIBLE_KM_S = (0.3, 10.0)  # from loose sediment and gas to the fastest rocks of the crust and mantle
MODEL_FILE = "vp_model.npy"
LISTED = 200  # at most so many lines of faults in one message
_MAGIC = b"\x93NUMPY"


def gather_files(survey: Survey) -> tuple[str, ...]:
    """Names of the shots' files, by the challenge's rule: the source's cell, counted from 1 (x = 74 m: cell 75).

    Sources that share a cell are counted instead, 1 to the number of shots.
    """
    cells = [round(x_m / survey.spacing_m) + 1 for x_m in survey.source_x_m]
    numbers = cells if len(set(cells)) == survey.shots else range(1, survey.shots + 1)
    return tuple(f"receiver_data_src_{n}.npy" for n in numbers)


@dataclass(frozen=True)
class Sample:
    id: str
    path: Path


class BadSample(UserError):  # noqa: N818
    """One sample cannot be used. ``faults`` has a line for each file that is wrong."""

    def __init__(self, sample_id: str, faults: Sequence[str]):
        self.sample_id, self.faults = sample_id, tuple(faults)
        super().__init__(sample_id, self.faults)  # both are in ``args``, so that it travels between processes

    def __str__(self) -> str:
        return f"sample {self.sample_id}: " + "; ".join(self.faults)


def find_samples(root: Path | str, split: Literal["train", "test"] | None, survey: Survey) -> list[Sample]:
    """Samples under ``root``, sorted by id: those of ``root/split`` where that exists, else those in ``root`` itself.

    ``split=None`` takes those in ``root`` itself, or of both splits where it has them. Hidden and stray entries are
    ignored with one line on stderr. ``UserError`` where there is no sample.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; right is a folder with train/ and test/, or a folder of samples")
    splits = [name for name in ("train", "test") if (root / name).is_dir()]
    if splits and split is not None and split not in splits:
        raise UserError(f"{root}: has {splits[0]}/ but no {split}/ in it")
    folders = [root / name for name in splits if split in (None, name)] or [root]
    samples = [sample for folder in folders for sample in _samples_in(folder, survey)]
    if not samples:
        raise UserError(
            f"{folders[0]}: no samples in it; looked for folders holding {', '.join(gather_files(survey))}"
            f" (and {MODEL_FILE} for training)"
        )
    return sorted(samples, key=lambda sample: sample.id)


def _samples_in(folder: Path, survey: Survey) -> list[Sample]:
    wanted = {*gather_files(survey), MODEL_FILE}
    samples, ignored = [], []
    for entry in sorted(folder.iterdir()):
        names = {p.name for p in entry.iterdir()} if entry.is_dir() and not entry.name.startswith(".") else None
        # an empty folder is a sample that lost its files, not a stray folder: it is reported as bad later on
        if names is not None and (not names or names & wanted):
            samples.append(Sample(entry.name, entry))
        else:
            ignored.append(entry.name)
    if ignored:
        shown = ", ".join(ignored[:5]) + (", ..." if len(ignored) > 5 else "")
        print(f"{folder}: ignored {len(ignored)} that are not samples: {shown}", file=sys.stderr)
    return samples


def read_gathers(sample: Sample, survey: Survey) -> np.ndarray:
    """The gathers (shot, time, receiver), float32. ``BadSample`` lists what is wrong with each of the files."""
    gathers = np.empty(survey.gathers_shape, np.float32)
    faults = []
    for shot, name in enumerate(gather_files(survey)):
        found = _load(sample.path / name, survey.gathers_shape[1:], (np.float32,))
        if isinstance(found, str):
            faults.append(found)
        else:
            gathers[shot] = found
    if faults:
        raise BadSample(sample.id, faults)
    return gathers


def read_velocity(sample: Sample, survey: Survey) -> np.ndarray:
    """The velocity model (x, depth) in km/s as float32, from a float64 (the rule) or float32 file."""
    path = sample.path / MODEL_FILE
    found = _load(path, survey.model_shape, (np.float64, np.float32))
    if isinstance(found, str):
        raise BadSample(sample.id, [found])
    low, high = PLAUSIBLE_KM_S
    if found.min() < low or found.max() > high:
        spread = f"{found.min():.6g} to {found.max():.6g}"
        raise BadSample(sample.id, [f"{path}: velocity from {spread} km/s; plausible is {low:g} to {high:g} km/s"])
    return found.astype(np.float32)


def faults_of(sample: Sample, survey: Survey, velocity: bool) -> list[str]:
    """Everything that is wrong with a sample, a line for each of its files; empty where nothing is."""
    faults: list[str] = []
    for read in (read_gathers, read_velocity) if velocity else (read_gathers,):
        try:
            read(sample, survey)
        except BadSample as bad:
            faults.extend(bad.faults)
    return faults


def check_samples(samples: Sequence[Sample], survey: Survey, velocity: bool, skip_bad: bool = False) -> list[Sample]:
    """The good samples. Bad ones raise one ``UserError`` that lists them all; ``skip_bad`` leaves them out instead."""
    found = [(s, faults_of(s, survey, velocity)) for s in track(samples, len(samples), "checking samples")]
    refuse_bad([BadSample(s.id, faults) for s, faults in found if faults], len(samples), skip_bad)
    return [s for s, faults in found if not faults]


def refuse_bad(bad: Sequence[BadSample], total: int, skip_bad: bool) -> None:
    """Raise one ``UserError`` for all bad samples, or say on stderr how many are left out."""
    if not bad:
        return
    if skip_bad and len(bad) < total:
        print(f"left out {len(bad)} bad of {total} samples, the first: {bad[0]}", file=sys.stderr)
        return
    lines = [f"{one.sample_id}: {fault}" for one in bad for fault in one.faults]
    more = [f"... and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
    hint = "none is left" if skip_bad else "mend them, or leave them out with --skip-bad"
    raise UserError("\n  ".join([f"{len(bad)} of {total} samples are bad ({hint}):", *lines[:LISTED], *more]))


def write_sample(
    folder: Path | str, sample_id: str, survey: Survey, gathers: np.ndarray, velocity: np.ndarray | None
) -> Path:
    """Write ``folder/sample_id``: gathers (shot, time, receiver) as float32, velocity (x, depth) km/s as float64.

    The folder appears complete or not at all, whenever the process is killed.
    """
    gathers = np.asarray(gathers, np.float32)
    if gathers.shape != survey.gathers_shape:
        raise ValueError(f"sample {sample_id}: gathers are {gathers.shape}, the survey's {survey.gathers_shape}")
    if velocity is not None and np.shape(velocity) != survey.model_shape:
        raise ValueError(f"sample {sample_id}: velocity is {np.shape(velocity)}, the survey's {survey.model_shape}")
    path = Path(folder) / sample_id
    with write_aside(path) as aside:
        aside.mkdir()
        for name, gather in zip(gather_files(survey), gathers, strict=True):
            save_array(aside / name, gather)
        if velocity is not None:
            save_array(aside / MODEL_FILE, np.asarray(velocity, np.float64))
    return path


def _load(path: Path, shape: tuple[int, ...], dtypes: tuple[type, ...]) -> np.ndarray | str:
    """The finite array in ``path``, or the sentence that says what is wrong with it."""
    try:
        with open(path, "rb") as file:
            if reason := _not_npy(file.read(len(_MAGIC))):
                return f"{path}: {reason}"
        array = np.load(path, mmap_mode=None, allow_pickle=False)
    except FileNotFoundError:
        return f"{path}: missing"
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror or error}"
    except (ValueError, EOFError, MemoryError, SyntaxError, tokenize.TokenError) as error:
        pickled = "Object arrays" in str(error)
        reason = "holds pickled objects, not numbers" if pickled else f"truncated or damaged .npy file ({error})"
        return f"{path}: {' '.join(reason.split())}"
    if array.shape != shape:
        return f"{path}: shape is {array.shape}; right is {shape}"
    if array.dtype not in dtypes:
        return f"{path}: dtype is {array.dtype}; right is {' or '.join(d.__name__ for d in dtypes)}"
    if bad := array.size - np.count_nonzero(np.isfinite(array)):
        return f"{path}: {bad} of {array.size} values are NaN or infinite ({np.count_nonzero(np.isnan(array))} NaN)"
    return array


def _not_npy(start: bytes) -> str:
    if start == _MAGIC:
        return ""
    if not start:
        return "truncated: the file is empty"
    return "a pickle, not an .npy file" if start[:1] == b"\x80" else "not an .npy file"
