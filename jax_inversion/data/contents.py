"""What the files of samples hold, as fingerprints: by their bytes, never by their times or sizes."""

from collections.abc import Mapping, Sequence

from ..errors import UserError
from ..files import digest, digest_json
from ..progress import in_threads
from ..survey import Survey
from .folders import MODEL_FILE, Sample, gather_files


def sources_digest(samples: Sequence[Sample], survey: Survey, velocities: bool) -> dict[str, str]:
    """The fingerprint of each sample's gathers, with ``velocities`` its model's too, by id. Reads them all."""

    def work(sample: Sample) -> str:
        return sample_digest(sample, survey, velocities, {})

    found = in_threads(work, samples, "looking for changes")
    return {sample.id: text for sample, text in zip(samples, found, strict=True)}


def sample_digest(sample: Sample, survey: Survey, velocities: bool, known: Mapping[str, str]) -> str:
    """The fingerprint of one sample. ``known`` has the SHA-256 of files that have been read already, by name.

    A file that is missing or cannot be read counts as such, so that mending it changes the fingerprint.
    """
    names = [*gather_files(survey), *([MODEL_FILE] if velocities else [])]
    return digest_json({name: known.get(name) or _digest_or_reason(sample, name) for name in names})


def _digest_or_reason(sample: Sample, name: str) -> str:
    try:
        return digest(sample.path / name)
    except OSError as error:
        return error.strerror or "cannot be read"
    except UserError:
        return "not a file"
