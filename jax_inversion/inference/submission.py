"""The submission file: an ``.npz`` of one float64 model (x, depth) in km/s a sample, keyed by sample id.

Written and read one sample at a time, so that memory does not grow with the number of samples.
"""

import contextlib
import struct
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from ..arrays import Velocity
from ..errors import UserError
from ..files import write_aside
from ..survey import Survey

_DAMAGE = (ValueError, OSError, EOFError, SyntaxError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error)


class SubmissionWriter:
    """Write models one by one; the file appears at ``path``, whole, when the ``with`` block ends well.

    Entries carry no time stamp: equal models give equal bytes.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        self._open = contextlib.ExitStack()

    def __enter__(self) -> "SubmissionWriter":
        with contextlib.ExitStack() as stack:
            aside = stack.enter_context(write_aside(self.path))
            self._archive = stack.enter_context(zipfile.ZipFile(aside, "w", allowZip64=True))
            self._open = stack.pop_all()
        return self

    def write(self, sample_id: str, velocity: Velocity) -> None:
        """Add one model (x, depth). ``UserError`` where it holds NaN or infinity."""
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
    """An open submission. Nothing but the table of contents is read before a model is asked for."""

    def __init__(self, path: Path, archive: zipfile.ZipFile):
        self.path, self._archive = path, archive
        names = archive.namelist()
        if twice := sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []:
            raise UserError(f"{path}: holds {twice[0]!r} more than once; right is one entry a sample")
        if strays := [name for name in names if not name.endswith(".npy")]:
            raise UserError(f"{path}: holds {strays[0]!r}; right is one '<sample id>.npy' a sample and nothing else")
        self.ids = tuple(name.removesuffix(".npy") for name in names)

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
            found_shape, found_dtype = self._header(sample_id)
            if found_shape != shape:
                raise UserError(f"{where}: shape is {found_shape}; right is {shape} (x, depth)")
            if found_dtype != np.float64:
                raise UserError(f"{where}: dtype is {found_dtype}; right is float64")
            with self._archive.open(f"{sample_id}.npy") as entry:
                model = np.lib.format.read_array(entry, allow_pickle=False)
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

    def _header(self, sample_id: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and dtype, before any memory is set aside on an entry's word."""
        with self._archive.open(f"{sample_id}.npy") as entry:
            version = np.lib.format.read_magic(entry)
            readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            if version not in readers:
                raise ValueError(f"unknown .npy version {version}")
            shape, _, dtype = readers[version](entry)
        return shape, dtype


@contextlib.contextmanager
def read_submission(path: Path | str) -> Iterator[Submission]:
    """Open a submission for lazy reading. ``UserError`` where there is none or the archive is damaged."""
    path = Path(path)
    with contextlib.ExitStack() as stack:
        try:
            archive = stack.enter_context(zipfile.ZipFile(path))
        except FileNotFoundError:
            raise UserError(f"{path}: no such file; `infer` writes submissions") from None
        except (OSError, zipfile.BadZipFile, ValueError) as error:
            raise UserError(f"{path}: not a readable .npz, or a truncated one ({error})") from None
        yield Submission(path, archive)


def check_submission(path: Path | str, ids: Collection[str], survey: Survey) -> None:
    """``UserError`` unless the file holds exactly ``ids``, each a finite float64 model of the survey's shape."""
    with read_submission(path) as submission:
        submission.check_ids(ids)
        for sample_id in submission.ids:
            submission.read(sample_id, survey.model_shape)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
