"""The challenge's zip files, unpacked on the volume."""

import zipfile
from pathlib import Path, PurePosixPath

from ..errors import UserError
from ..files import write_aside
from ..progress import track


def unpack(archive: Path, into: Path) -> int:
    """Put the ``<any folders>/<sample id>/<name>.npy`` of a zip file into ``into``/<sample id>/; how many samples.

    Hidden and other files are left out, files that are there with the same size are kept: it can be run again.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            wanted = [(entry, place) for entry in source.infolist() if (place := _place(entry.filename))]
            for entry, place in track(wanted, len(wanted), f"unpacking {archive.name}", unit="file"):
                target = into / place
                if target.is_file() and target.stat().st_size == entry.file_size:
                    continue
                with write_aside(target) as aside:
                    aside.write_bytes(source.read(entry))
    except FileNotFoundError:
        zips = ", ".join(sorted(path.name for path in archive.parent.glob("*.zip"))) or "none"
        raise UserError(f"{archive}: no such file; zip files there: {zips}") from None
    except zipfile.BadZipFile as error:
        raise UserError(f"{archive}: not a whole zip file ({error}); upload it again") from None
    if not wanted:
        raise UserError(f"{archive}: no <sample id>/<name>.npy in it")
    return len({place.parent for _, place in wanted})


def _place(name: str) -> PurePosixPath | None:
    """<sample id>/<name>.npy, or None for an entry that is not a sample's."""
    parts = PurePosixPath(name).parts
    if len(parts) < 2 or not name.endswith(".npy") or any(p.startswith((".", "__MACOSX")) for p in parts):
        return None
    return PurePosixPath(*parts[-2:])
