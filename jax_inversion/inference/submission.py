"""The submission file: an ``.npz`` of one float64 model (x, depth) in km/s a sample, keyed by sample id.

Written and read one sample at a time, so that memory does not grow with the number of samples.
"""

import collections
import contextlib
import json
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from .. import npy
from ..arrays import Velocity
from ..data.folders import PLAUSIBLE_KM_S
from ..errors import UserError
from ..files import DAMAGED_ZIP, check_writable, open_plain, write_aside
from ..survey import Survey

_DAMAGE = (*DAMAGED_ZIP, OSError, RuntimeError)
_ENCRYPTED = 0x1  # of an entry's flags: APPNOTE.TXT, 4.4.4


class SubmissionWriter:
    """Write models one by one; the file appears at ``path``, whole, when the ``with`` block ends well.

    Entries carry no time stamp: equal models give equal bytes. ``made_from``, plain values that say where the models
    come from, is kept in the archive's comment, which NumPy and the challenge pass over. ``UserError``, before the
    work, where the file cannot be written.
    """

    def __init__(self, path: Path | str, made_from: Mapping[str, Any] | None = None):
        self.path = Path(path)
        self._comment = b"" if made_from is None else json.dumps(made_from, sort_keys=True).encode()
        if len(self._comment) > zipfile.ZIP_MAX_COMMENT:
            raise ValueError(f"made_from has {len(self._comment)} bytes of JSON, a comment {zipfile.ZIP_MAX_COMMENT}")
        self._open = contextlib.ExitStack()

    def __enter__(self) -> "SubmissionWriter":
        check_writable(self.path)
        with contextlib.ExitStack() as stack:
            aside = stack.enter_context(write_aside(self.path))
            self._archive = stack.enter_context(zipfile.ZipFile(aside, "w", allowZip64=True))
            self._archive.comment = self._comment
            self._open = stack.pop_all()
        return self

    def write(self, sample_id: str, velocity: Velocity) -> None:
        """Add one model (x, depth). ``UserError`` where it holds NaN or infinity, or the id is no text."""
        try:
            sample_id.encode()
        except UnicodeEncodeError:
            raise UserError(f"sample {sample_id!a}: the id is not UTF-8, so a submission cannot hold it") from None
        model = np.ascontiguousarray(velocity, np.float64)
        if bad := model.size - np.count_nonzero(np.isfinite(model)):
            raise UserError(f"sample {sample_id}: {bad} of {model.size} predicted values are NaN or infinite")
        if f"{sample_id}.npy" in self._archive.NameToInfo:
            raise ValueError(f"sample {sample_id} is written twice")
        with self._archive.open(zipfile.ZipInfo(f"{sample_id}.npy"), "w", force_zip64=True) as entry:
            np.lib.format.write_array(entry, model, allow_pickle=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._open.__exit__(kind, error, trace)


class Submission:
    """An open submission. Nothing but the table of contents is read before a model is asked for.

    ``made_from`` is what its writer was given; None where it was given nothing, or was another program.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile):
        self.path, self._archive = path, archive
        names = archive.namelist()
        if twice := [name for name, count in collections.Counter(names).items() if count > 1]:
            raise UserError(f"{path}: holds {twice[0]!r} more than once; right is one entry a sample")
        if strays := [name for name in names if not name.endswith(".npy")]:
            raise UserError(f"{path}: holds {strays[0]!r}; right is one '<sample id>.npy' a sample and nothing else")
        self.ids = tuple(name.removesuffix(".npy") for name in names)
        self.made_from = _made_from(archive.comment)

    def check_ids(self, ids: Collection[str]) -> None:
        """``UserError`` unless the file holds exactly ``ids``."""
        missing, extra = sorted(set(ids) - set(self.ids)), sorted(set(self.ids) - set(ids))
        faults = [
            f"{len(names)} {what} ({_some(names)})" for what, names in (("missing", missing), ("extra", extra)) if names
        ]
        if faults:
            raise UserError(
                f"{self.path}: sample ids {' and '.join(faults)}; right is exactly the {len(set(ids))} of the test set"
            )

    def read(self, sample_id: str, shape: tuple[int, int]) -> np.ndarray:
        """The model (x, depth), float64. ``UserError`` names the id, what was found and what is right."""
        where = f"{self.path}: sample {sample_id}"
        try:
            model = self._read(where, self._archive.getinfo(f"{sample_id}.npy"), shape)
        except KeyError:
            raise UserError(f"{where}: not in the file; right is one entry a test sample") from None
        except _DAMAGE as error:
            raise UserError(
                f"{where}: damaged entry ({' '.join(str(error).split())}); right is an .npy array"
            ) from None
        if bad := model.size - np.count_nonzero(np.isfinite(model)):
            raise UserError(
                f"{where}: {bad} of {model.size} values are NaN or infinite; right are finite velocities in km/s"
            )
        return model

    def _read(self, where: str, entry: zipfile.ZipInfo, shape: tuple[int, int]) -> np.ndarray:
        """No memory is set aside on the entry's word: its shape and dtype are looked at first."""
        if entry.flag_bits & _ENCRYPTED:
            raise UserError(f"{where}: the entry is encrypted; right is a plain .npz")
        with self._archive.open(entry) as file:
            assert isinstance(file, zipfile.ZipExtFile)  # typeshed calls it IO[bytes]
            header = npy.read_header(file)
            if header.shape != shape:
                raise UserError(f"{where}: shape is {header.shape}; right is {shape} (x, depth)")
            if header.dtype != np.float64:
                raise UserError(f"{where}: dtype is {header.dtype}; right is float64")
            return npy.read_values(file, header)


def check_place(out: Path) -> None:
    """Before the work: ``UserError`` unless a submission can be written to ``out``."""
    if out.suffix != ".npz":
        raise UserError(f"{out}: a submission is called *.npz")
    check_writable(out)


def spread_path(out: Path) -> Path:
    """Where the members' spread of the submission ``out`` is written."""
    return out.with_name(f"{out.stem}_spread.npz")


def quality_path(out: Path) -> Path:
    """Where quality control of the submission ``out`` is written."""
    return out.with_name(f"{out.stem}_qc.json")


def bounds_paths(out: Path) -> tuple[Path, Path]:
    """Where the lower and the upper models of the submission ``out`` lie."""
    return out.with_name(f"{out.stem}_lower.npz"), out.with_name(f"{out.stem}_upper.npz")


@contextlib.contextmanager
def read_submission(path: Path | str) -> Iterator[Submission]:
    """Open a submission for lazy reading. ``UserError`` where there is none or the archive is damaged."""
    path = Path(path)
    with contextlib.ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(open_plain(path))))
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; `infer` writes submissions") from None
        except PermissionError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from None
        except _DAMAGE as error:
            raise UserError(f"{path}: not a readable .npz, or a truncated one ({error})") from None
        yield Submission(path, archive)


def read_misfits(submission: Path) -> dict[str, float]:
    """By sample, how far predicted gathers are from those observed; empty where nobody looked at this prediction."""
    try:
        found = json.loads(quality_path(submission).read_text())
        with read_submission(submission) as models:
            same = found["made_from"] == models.made_from
        return {name: float(row["misfit"]) for name, row in found["samples"].items()} if same else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


@contextlib.contextmanager
def read_spread(submission: Path | str) -> Iterator[Submission | None]:
    """The members' spread that was predicted together with ``submission``; None where there is none beside it."""
    path = spread_path(Path(submission))
    if not path.exists():
        yield None
        return
    with read_submission(submission) as found, read_submission(path) as spreads:
        yield spreads if spreads.made_from == found.made_from else None  # else it is another prediction's


@dataclass(frozen=True)
class Checked:
    """What a submission holds that is as it should be: how many models, their least and greatest velocity in km/s."""

    samples: int
    low_km_s: float
    high_km_s: float


def check_submission(
    path: Path | str,
    ids: Collection[str],
    survey: Survey,
    plausible_km_s: tuple[float, float] = PLAUSIBLE_KM_S,
) -> Checked:
    """``UserError`` unless the file holds exactly ``ids``, each a finite, plausible float64 model of the survey.

    It takes the ids of the test samples, no truth.
    """
    low, high = np.inf, -np.inf
    with read_submission(path) as submission:
        submission.check_ids(ids)
        for sample_id in submission.ids:
            model = submission.read(sample_id, survey.model_shape)
            least, greatest = float(model.min()), float(model.max())
            if least < plausible_km_s[0] or greatest > plausible_km_s[1]:
                raise UserError(
                    f"{path}: sample {sample_id}: velocity from {least:.6g} to {greatest:.6g} km/s; plausible is "
                    f"{plausible_km_s[0]:g} to {plausible_km_s[1]:g} km/s"
                )
            low, high = min(low, least), max(high, greatest)
    return Checked(len(set(ids)), low, high)


def _made_from(comment: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(comment)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
