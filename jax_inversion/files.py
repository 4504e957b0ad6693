"""Files that appear whole or not at all, and what the system refuses, said in one line."""

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import re
import shutil
import stat
import struct
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import RunError, UserError

# What zipfile raises for an archive that is not whole, or not one.
DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, NotImplementedError)
_PARTIAL = ".partial"
_UNSYNCABLE = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)  # what file systems answer that have no fsync for it
_BAD_ENDS = {
    errno.ENOSPC: "no space left on the disk",
    errno.EDQUOT: "the disk quota is used up, no space is left",
    errno.EFBIG: "larger than a file may be there",
    errno.EIO: "the disk reports an input/output error",
    errno.EMFILE: "too many open files; `ulimit -n` raises the limit",
}
_WRONG_PATHS = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.ENOTDIR: "is a file, or lies below one; right is a folder",
    errno.EEXIST: "is a file; right is a folder",
    errno.EISDIR: "is a folder; right is a file",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "symbolic links that lead in a circle",
    errno.ENOENT: "no such file or folder",
}


@contextlib.contextmanager
def write_aside(path: Path | str, durable: bool = True) -> Iterator[Path]:
    """Yield a hidden path beside ``path`` to write a file or folder at; rename it to ``path`` when the block ends well.

    On an error nothing is left behind; a kill leaves a hidden ``.name.xxxx.partial`` that no reader takes for data and
    that the next writer of ``path`` clears. An existing file is replaced; an existing folder is replaced too.
    ``durable``: what was written is on the disk before the renaming, so that no power cut leaves an empty file.
    """
    path = Path(path)
    try:
        _refuse_special(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        recover(path)
        with _holder(path) as holder:
            aside = holder / path.name
            yield aside
            if durable:
                _sync(aside)
            if path.is_dir() and aside.is_dir():
                os.replace(path, holder / "replaced")
            os.replace(aside, path)
    except OSError as error:
        if error.filename is None:  # a failed write knows no name
            error.filename = str(path)
        raise


def save_array(path: Path | str, array: np.ndarray) -> None:
    """Write ``array`` as .npy. ``OSError`` on a full disk, where np.save may lose the last bytes silently."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    Path(path).write_bytes(buffer.getbuffer())


def recover(path: Path | str) -> None:
    """Finish a replacement of the folder ``path`` that a kill cut between its two renames, and clear what kills left.

    What a living process of this machine is writing is left alone.
    """
    path = Path(path)
    for holder in leftovers(path):
        with _locked(holder) as abandoned:
            if not abandoned:
                continue
            whole = [p for p in (holder / path.name, holder / "replaced") if p.exists()]
            if not path.exists() and (holder / "replaced").exists():
                os.replace(whole[0], path)
            shutil.rmtree(holder, ignore_errors=True)


def leftovers(path: Path | str) -> list[Path]:
    """The hidden folders in which ``write_aside(path)`` is at work, or was until it was killed."""
    path = Path(path)
    start = f".{path.name}."
    try:
        names = os.listdir(path.parent)
    except OSError:
        return []
    found = [name for name in names if name.startswith(start) and name.endswith(_PARTIAL)]
    return [path.parent / name for name in found if "." not in name[len(start) : -len(_PARTIAL)]]


@contextlib.contextmanager
def _holder(path: Path) -> Iterator[Path]:
    """A new hidden folder beside ``path``, locked for as long as its writer lives and removed in the end."""
    while True:
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=_PARTIAL, dir=path.parent))
        with _locked(holder, wait=True):
            if not holder.exists():  # taken for a leftover before it was locked
                continue
            try:
                yield holder
                return
            finally:
                shutil.rmtree(holder, ignore_errors=True)


@contextlib.contextmanager
def _locked(holder: Path, wait: bool = False) -> Iterator[bool]:
    """Lock a folder if nobody else has; yields whether. The lock goes with the process that holds it."""
    try:
        lock = os.open(holder, os.O_RDONLY)
    except OSError:  # gone, or another user's
        yield False
        return
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            free = True
        except BlockingIOError:
            free = False
        except OSError:  # a file system without locks: a path has one writer there, by agreement
            free = True
        yield free
    finally:
        os.close(lock)


def _sync(path: Path) -> None:
    """Wait until the file, or the folder and all in it, is on the disk."""
    if path.is_dir():
        for inner in path.iterdir():
            _sync(inner)
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _UNSYNCABLE:
            raise
    finally:
        os.close(handle)


def open_plain(path: Path | str) -> io.BufferedReader:
    """Open a file to read. ``UserError`` for a folder, a named pipe, which would be waited for, or a device."""
    if kind := _kind(path):
        raise UserError(f"{path}: is {kind}; right is a file")
    return open(path, "rb")


def digest(path: Path | str) -> str:
    """The SHA-256 of a file's bytes, read piece by piece."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_bytes(*parts: bytes) -> str:
    """The SHA-256 of ``parts``, one after the other."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(part)
    return hasher.hexdigest()


def digest_json(values: Any) -> str:
    """The SHA-256 of plain nested values: the same for equal ones, in whatever order their keys are."""
    return digest_bytes(json.dumps(values, sort_keys=True, separators=(",", ":")).encode())


def digest_arrays(values: Any, arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of plain nested values and named arrays, of their types, shapes and contents."""
    found = hashlib.sha256(digest_json(values).encode())
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype.str} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def read_toml(path: Path | str, hint: str = "") -> dict[str, Any]:
    """The tables of a TOML file; ``UserError`` where there is none (with ``hint``, where to look) or it is not one."""
    try:
        # Windows' Notepad writes a byte order mark
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file{'; ' if hint else ''}{hint}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: not a readable TOML file: {error}") from None


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """Lines of JSON; one that a kill has cut is passed over."""
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def check_writable(path: Path | str, folder: bool = False) -> None:
    """Before the work: ``UserError`` if the file ``path`` (or ``folder``) cannot be written. Nothing is left there."""
    path = Path(path)
    try:
        _refuse_special(path)
        if path.exists() and path.is_dir() != folder:
            raise UserError(f"{path}: is a {'file; right is a folder' if folder else 'folder; right is a file'}")
        with tempfile.TemporaryFile(dir=_nearest(path if folder else path.parent)):
            pass
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise (fault_of(error) or error) from None


def need_space(path: Path | str, needed: int) -> None:
    """Before the work: ``RunError`` unless ``needed`` bytes are free where ``path`` is to be written."""
    free = _free(path)
    if free is not None and free < needed:
        raise RunError(f"{path}: needs {size_text(needed)} of disk space, {size_text(free)} are free there; make room")


def fault_of(error: BaseException) -> UserError | RunError | None:
    """What the system refused, in one line: ``UserError`` for a path that was given wrong, ``RunError`` for a bad end.

    ``UserError`` and ``RunError`` are themselves; None for anything else, whose traceback is needed.
    """
    if isinstance(error, UserError | RunError):
        return error
    if isinstance(error, OSError) and error.errno in _WRONG_PATHS | _BAD_ENDS:
        name = error.filename2 if error.filename2 is not None else error.filename
        path = "" if name is None else _meant(os.fsdecode(name))
        where = f"{path}: " if path else ""
        if error.errno in _WRONG_PATHS:
            return UserError(where + _WRONG_PATHS[error.errno])
        free = _free(path) if path and error.errno in (errno.ENOSPC, errno.EDQUOT) else None
        left = "" if free is None else f" ({size_text(free)} are free now that half-written files are gone); make room"
        return RunError(where + _BAD_ENDS[error.errno] + left)
    if error.__cause__ is not None:
        return fault_of(error.__cause__)
    if "No space left on device" in str(error):  # TensorStore's errors are no OSError
        return RunError("no space left on the disk; make room and run it again")
    return None


def size_text(count: int) -> str:
    """Bytes for people: 24.6 kB, 3.1 GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"


def _meant(path: str) -> str:
    """The path that is wanted for one that ``write_aside`` works at."""
    return re.sub(r"(^|/)\.([^/]+)\.[^/.]+\.partial$", r"\1\2", re.sub(r"(^|/)\.[^/]+\.partial/", r"\1", path))


def _kind(path: Path | str) -> str:
    """What is at ``path`` if not a file. ``OSError`` where nothing is."""
    mode = os.stat(path).st_mode
    kinds = {stat.S_ISREG: "", stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a named pipe", stat.S_ISSOCK: "a socket"}
    return next((kind for test, kind in kinds.items() if test(mode)), "a device")


def _refuse_special(path: Path) -> None:
    """A renaming would put a file in the place of a device or a pipe."""
    with contextlib.suppress(FileNotFoundError):
        if (kind := _kind(path)) not in ("", "a folder"):
            raise UserError(f"{path}: is {kind}; right is a file")


def _nearest(path: Path | str) -> Path:
    """The nearest of ``path`` and the folders above it that is there."""
    path = Path(path).absolute()
    return next(p for p in (path, *path.parents) if os.path.lexists(p))


def _free(path: Path | str) -> int | None:
    try:
        return shutil.disk_usage(_nearest(path)).free
    except OSError:
        return None
