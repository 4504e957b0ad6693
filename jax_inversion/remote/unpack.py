"""The challenge's zip files, unpacked on the volume: suspicious of the archive, fit to be run again."""

import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from ..errors import UserError
from ..files import DAMAGED_ZIP, need_space, open_plain, size_text, write_aside
from ..progress import track

LARGEST = 1 << 30  # bytes of one file; the challenge's have 1.2 and 3 million
_ENCRYPTED = 0x1  # of an entry's flags: APPNOTE.TXT, 4.4.4


def unpack(archive: Path, into: Path) -> int:
    """Put the ``<any folders>/<sample id>/<name>.npy`` of a zip file into ``into``/<sample id>/; how many samples.

    Hidden and other files are left out. Files that are there with the same contents are kept, others replaced, so it
    can be run again. ``UserError``, before anything is written where that can be known, for an archive that is damaged,
    encrypted or larger than can be meant; ``RunError`` where the disk has no room.
    """
    try:
        file = open_plain(archive)
    except FileNotFoundError:
        zips = ", ".join(sorted(path.name for path in archive.parent.glob("*.zip"))) or "none"
        raise UserError(f"{archive}: no such file; zip files there: {zips}") from None
    try:
        with file, zipfile.ZipFile(file) as source:
            wanted = _wanted(source, archive)
            need_space(into, sum(e.file_size for p, e in wanted.items() if not _same_size(into / p, e)))
            for place, entry in track(wanted.items(), len(wanted), f"unpacking {archive.name}", unit="file"):
                if not _same_contents(into / place, entry):
                    _extract(source, entry, into / place, archive)
    except DAMAGED_ZIP as error:
        raise UserError(f"{archive}: not a whole zip file ({error}); upload it again") from None
    return len({place.parent for place in wanted})


def _wanted(source: zipfile.ZipFile, archive: Path) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """The samples' files by where they go, or a ``UserError`` about the archive."""
    wanted: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for entry in source.infolist():
        if (place := _place(entry.filename)) is None:
            continue
        if entry.flag_bits & _ENCRYPTED:
            raise UserError(f"{archive}: {entry.filename} is encrypted; right is a zip file without a password")
        if entry.file_size > LARGEST:
            size = f"{size_text(entry.file_size)}; a sample's file has at most {size_text(LARGEST)}"
            raise UserError(f"{archive}: {entry.filename} would have {size}")
        if place in wanted and wanted[place].CRC != entry.CRC:
            raise UserError(f"{archive}: has two files for {place}, {wanted[place].filename} and {entry.filename}")
        wanted[place] = entry
    if not wanted:
        raise UserError(f"{archive}: no <sample id>/<name>.npy in it")
    return wanted


def _place(name: str) -> PurePosixPath | None:
    """<sample id>/<name>.npy, or None for an entry that is not a sample's."""
    parts = PurePosixPath(name.replace("\\", "/")).parts  # some programs of Windows write these
    if len(parts) < 2 or not name.endswith(".npy") or any(p.startswith((".", "/", "__MACOSX")) for p in parts):
        return None
    return PurePosixPath(*parts[-2:])


def _same_size(path: Path, entry: zipfile.ZipInfo) -> bool:
    return path.is_file() and path.stat().st_size == entry.file_size


def _same_contents(path: Path, entry: zipfile.ZipInfo) -> bool:
    """Whether the file is there with the entry's size and checksum."""
    if not _same_size(path, entry):
        return False
    checksum = 0
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            checksum = zlib.crc32(piece, checksum)
    return checksum == entry.CRC


def _extract(source: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path, archive: Path) -> None:
    """Write one file, whole or not at all; reading to its end compares the checksum, so it need not be durable."""
    try:
        with source.open(entry) as packed, write_aside(path, durable=False) as aside, open(aside, "wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
    except DAMAGED_ZIP as error:
        raise UserError(f"{archive}: {entry.filename} is damaged ({error}); upload it again") from None
