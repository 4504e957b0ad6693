"""The challenge's folders of samples, read with suspicion and written whole.

A sample is a folder named by its id with one ``.npy`` of (time, receiver) a shot and, where the truth is known, the
velocity model. Whatever is wrong with a sample is a ``BadSample`` that names the path and the reason.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from .. import npy
from ..errors import UserError
from ..files import open_plain, save_array, write_aside
from ..progress import in_threads
from ..survey import Survey
from .amplitudes import LOUDEST, odd_amplitudes, rms

PLAUSIBLE_KM_S = (0.3, 10.0)  # from loose sediment and gas to the fastest rocks of the crust and mantle
MODEL_FILE = "vp_model.npy"
SHOT_FILE = "receiver_data_src_"  # and a number
Split: TypeAlias = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")
LISTED = 200  # at most so many lines of faults in one message
_EMPTY_ONES = ("analysis", "lost+found")  # folders that are no samples while they are empty: analyze's, the system's
_log = logging.getLogger(__name__)


def gather_files(survey: Survey) -> tuple[str, ...]:
    """Names of the shots' files, by the challenge's rule: the source's cell, counted from 1 (x = 74 m: cell 75).

    Sources that share a cell are counted instead, 1 to the number of shots.
    """
    cells = [round(x_m / survey.spacing_m) + 1 for x_m in survey.source_x_m]
    numbers = cells if len(set(cells)) == survey.shots else range(1, survey.shots + 1)
    return tuple(f"{SHOT_FILE}{n}.npy" for n in numbers)


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


def find_samples(root: Path | str, split: Split | None, survey: Survey) -> list[Sample]:
    """Samples under ``root``, sorted by id: those of ``root/split`` where that exists, else those in ``root`` itself.

    ``split=None`` takes those in ``root`` itself, or of both splits where it has them. Hidden and stray entries are
    ignored, stray ones with a line in the log. ``UserError``: no sample, an id twice or one that is not UTF-8.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; right is a folder with train/ and test/, or a folder of samples")
    splits = [name for name in SPLITS if (root / name).is_dir()]
    if splits and split is not None and split not in splits:
        raise UserError(f"{root}: has {splits[0]}/ but no {split}/ in it; {root / splits[0]} alone would be taken")
    folders = [root / name for name in splits if split in (None, name)] or [root]
    samples = [sample for folder in folders for sample in _samples_in(folder, survey)]
    if not samples:
        raise UserError(
            f"{folders[0]}: no samples in it; looked for folders holding {', '.join(gather_files(survey))}"
            f" (and {MODEL_FILE} for training)"
        )
    refuse_twins(samples)
    return sorted(samples, key=lambda sample: sample.id)


def refuse_twins(samples: Sequence[Sample]) -> None:
    """``UserError`` where two samples have one id: nothing could tell them apart, and none may both train and test."""
    places: dict[str, Path] = {}
    for sample in samples:
        if (other := places.setdefault(sample.id, sample.path)) is not sample.path:
            raise UserError(f"{other} and {sample.path} have one id; right is one sample of an id in all sets together")


def _samples_in(folder: Path, survey: Survey) -> list[Sample]:
    wanted = {*gather_files(survey), MODEL_FILE}
    samples, ignored = [], []
    for entry in sorted(folder.iterdir()):
        if not entry.name.startswith(".") and entry.is_dir() and _is_sample(entry, wanted):
            samples.append(Sample(entry.name, entry))
        elif not entry.name.startswith("."):
            ignored.append(entry.name)
    if odd := [ascii(sample.id) for sample in samples if not _is_text(sample.id)]:
        raise UserError(
            f"{folder}: sample ids that are not UTF-8: {', '.join(odd[:5])}; unpacked from another code page? "
            "Give these folders other names"
        )
    if ignored:
        shown = ", ".join(ignored[:5]) + (", ..." if len(ignored) > 5 else "")
        _log.info("%s: ignored %d that are not samples: %s", folder, len(ignored), shown)
    return samples


def _is_sample(entry: Path, wanted: set[str]) -> bool:
    """Whether a folder is a sample, if only one that lost its files or may not be read: those are reported as bad."""
    try:
        names = {path.name for path in entry.iterdir()}
    except PermissionError:
        names = set()
    return bool(names & wanted) or (not names and entry.name not in _EMPTY_ONES)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_gathers(sample: Sample, survey: Survey, digests: dict[str, str] | None = None) -> np.ndarray:
    """The gathers (shot, time, receiver), float32. ``BadSample`` lists what is wrong with each of the files.

    ``digests`` is given the SHA-256 of each good file's bytes, by the file's name.
    """
    gathers = np.empty(survey.gathers_shape, np.float32)
    faults = []
    for shot, name in enumerate(gather_files(survey)):
        found = _load(sample.path / name, survey.gathers_shape[1:], {"float32": np.float32}, digests)
        if isinstance(found, str):
            faults.append(found)
        elif (peak := max(float(found.max()), -float(found.min()))) > LOUDEST:
            faults.append(f"{sample.path / name}: an amplitude of {peak:.3g}; plausible is up to {LOUDEST:g}")
        else:
            gathers[shot] = found
    if not faults and not gathers.any():
        faults.append(f"{sample.path}: the amplitudes of all shots are zero")
    if faults:
        other = _of_another_survey(sample, survey)
        raise BadSample(sample.id, [other] if other else faults)
    return gathers


def read_velocity(sample: Sample, survey: Survey, digests: dict[str, str] | None = None) -> np.ndarray:
    """The velocity model (x, depth) in km/s as float32, from a file of any real numbers (the rule: float64).

    ``digests`` is given the SHA-256 of the file's bytes, if it is good.
    """
    path = sample.path / MODEL_FILE
    found = _load(path, survey.model_shape, {"float64": np.floating, "other real numbers": np.integer}, digests)
    if isinstance(found, str):
        raise BadSample(sample.id, [found])
    low, high = PLAUSIBLE_KM_S
    if found.min() < low or found.max() > high:
        spread = f"{found.min():.6g} to {found.max():.6g}"
        raise BadSample(sample.id, [f"{path}: velocity from {spread} km/s; plausible is {low:g} to {high:g} km/s"])
    return found.astype(np.float32)


def read_sample(
    sample: Sample, survey: Survey, velocity: bool, digests: dict[str, str] | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Gathers and, with ``velocity``, the model. ``BadSample`` lists all that is wrong with the files of either."""
    faults: list[str] = []
    gathers = model = None
    try:
        gathers = read_gathers(sample, survey, digests)
    except BadSample as bad:
        faults.extend(bad.faults)
    try:
        model = read_velocity(sample, survey, digests) if velocity else None
    except BadSample as bad:
        faults.extend(bad.faults)
    if gathers is None or faults:
        raise BadSample(sample.id, faults)
    return gathers, model


def check_samples(
    samples: Sequence[Sample], survey: Survey, velocity: bool, skip_bad: bool = False, hint: str = ""
) -> list[Sample]:
    """The good samples. Bad ones raise one ``UserError`` that lists them all; ``skip_bad`` leaves them out instead.

    Bad are those with a faulty file and those with amplitudes far from the others'. ``hint``: see ``refuse_bad``.
    """

    def check(sample: Sample) -> float | BadSample:
        try:
            return rms(read_sample(sample, survey, velocity)[0])
        except BadSample as bad:
            return bad

    found = list(in_threads(check, samples, "checking samples"))
    refused = refuse_odd(samples, found, skip_bad, hint)
    return [sample for k, sample in enumerate(samples) if k not in refused]


def refuse_odd(
    samples: Sequence[Sample], found: Sequence[float | BadSample], skip_bad: bool, hint: str = ""
) -> set[int]:
    """Positions of the samples to leave out: bad ones, and those whose level (rms) is absurdly far from the others'.

    Raises as ``refuse_bad`` does.
    """
    bad = {k: result for k, result in enumerate(found) if isinstance(result, BadSample)}
    levels = {k: result for k, result in enumerate(found) if not isinstance(result, BadSample)}
    rows = list(levels)
    for position, fault in odd_amplitudes(list(levels.values())).items():
        sample = samples[rows[position]]
        bad[rows[position]] = BadSample(sample.id, [f"{sample.path}: {fault}"])
    refuse_bad([bad[k] for k in sorted(bad)], len(samples), skip_bad, hint)
    return set(bad)


def refuse_bad(bad: Sequence[BadSample], total: int, skip_bad: bool, hint: str = "") -> None:
    """Raise one ``UserError`` for all bad samples, or say in the log how many are left out.

    ``hint``: what the user would write to have them left out, where the door that is used has such an option.
    """
    if not bad:
        return
    if skip_bad and len(bad) < total:
        _log.warning("left out %d bad of %d samples, the first: %s", len(bad), total, bad[0])
        return
    lines = [f"{one.sample_id}: {fault}" for one in bad for fault in one.faults]
    more = [f"... and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
    way = "none is left" if skip_bad else "mend them" + (f", or leave them out with {hint}" if hint else "")
    raise UserError("\n  ".join([f"{len(bad)} of {total} samples are bad ({way}):", *lines[:LISTED], *more]))


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


def _of_another_survey(sample: Sample, survey: Survey) -> str:
    """One line instead of one for each file, where a sample has shots, but none of this survey's."""
    wanted = gather_files(survey)
    try:
        names = sorted(path.name for path in sample.path.iterdir())
    except OSError:  # reading the files will say what it is
        return ""
    shots = [name for name in names if name.startswith(SHOT_FILE)]
    if not shots or not set(wanted).isdisjoint(shots):
        return ""
    return f"{sample.path}: holds {shots[0]}, but none of {wanted[0]} to {wanted[-1]}: another survey's sample?"


def _load(
    path: Path, shape: tuple[int, ...], kinds: dict[str, type], digests: dict[str, str] | None
) -> np.ndarray | str:
    """The finite array in ``path``, or the sentence that says what is wrong with it; read once, hashed on the way."""
    hasher = None if digests is None else hashlib.sha256()
    try:
        with open_plain(path) as file:
            header = npy.read_header(file)
            if header.dtype.hasobject:
                return f"{path}: holds pickled objects, not numbers"
            if header.shape != shape:
                return f"{path}: shape is {header.shape}; right is {shape}"
            if not any(np.issubdtype(header.dtype, kind) for kind in kinds.values()):
                return f"{path}: dtype is {header.dtype}; right is {' or '.join(kinds)}"
            array = npy.read_values(file, header, hasher)
    except UserError as error:  # not a file: it names the path
        return str(error)
    except npy.BadArray as error:
        return f"{path}: {error}"
    except FileNotFoundError:
        return f"{path}: missing"
    except OSError as error:
        return f"{path}: cannot be read: {error.strerror or error}"
    if bad := array.size - np.count_nonzero(np.isfinite(array)):
        return f"{path}: {bad} of {array.size} values are NaN or infinite ({np.count_nonzero(np.isnan(array))} NaN)"
    if digests is not None and hasher is not None:
        digests[path.name] = hasher.hexdigest()
    return array
