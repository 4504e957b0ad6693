"""A test set predicted into a submission, whole or in parts that machines make side by side."""

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data.contents import sources_digest
from ..data.folders import Sample, check_samples, find_samples, gather_files
from ..errors import UserError
from ..files import digest_json
from ..npy import header_of
from ..progress import Progress
from ..runs import Run
from ..surveys import refuse_other
from .predictor import Predictor
from .submission import SubmissionWriter, check_submission, read_submission, spread_path

log = logging.getLogger(__name__)


def test_samples(predictor: Predictor, data: Path | str | None = None) -> list[Sample]:
    """The test samples below ``data``; by default below what the run was trained with, or its own.

    ``UserError`` where there are none, where they are of another survey, and where the run does not say where they lie.
    """
    run, root = Run(predictor.restored.run), predictor.config.data.root
    if data is None:
        data = root or (run.data if run.data.is_dir() else None)
    if data is None:
        raise UserError(f"{run.path}: the run does not say where its data lie; give --data DIR")
    refuse_other(data, predictor.survey, f"that of {predictor.restored.path}")
    samples = find_samples(data, "test", predictor.survey)
    _refuse_other_survey(samples[0], predictor)
    return samples


def provenance(predictor: Predictor, samples: Sequence[Sample]) -> dict[str, Any]:
    """What a submission of ``samples`` is made from: checkpoint, settings and the contents of the gathers."""
    digests = sources_digest(samples, predictor.survey, velocities=False)
    return predictor.made_from | {"samples": {"count": len(digests), "fingerprint": digest_json(digests)}}


def submit(
    predictor: Predictor,
    samples: Sequence[Sample],
    out: Path,
    made_from: Mapping[str, Any],
    *,
    uncertainty: bool = False,
    part: range | None = None,
) -> None:
    """Predict ``samples`` into the file ``out``; with ``uncertainty`` the members' spread goes to ``spread_path(out)``.

    ``part``, one of ``parts``, predicts these of them only, with the same result. Memory does not grow with the
    samples. ``UserError`` that lists all bad samples, before anything is predicted.
    """
    size = min(predictor.config.infer.batch_size, len(samples))
    first = part.start // size if part else 0
    samples = samples[part.start : part.stop] if part else samples
    check_samples(samples, predictor.survey, velocity=False)
    started, low, high, total = time.monotonic(), np.inf, -np.inf, 0.0
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(SubmissionWriter(out, made_from))
        spreads = stack.enter_context(SubmissionWriter(spread_path(out), made_from)) if uncertainty else None
        progress = stack.enter_context(Progress(len(samples), "predicting"))
        for batch, models, deviations in predictor.batches(samples, size, first):
            for sample, velocity, deviation in zip(batch, models, deviations, strict=True):
                writer.write(sample.id, velocity)
                if spreads:
                    spreads.write(sample.id, deviation)
            low, high, total = min(low, models.min()), max(high, models.max()), total + models.mean(axis=(1, 2)).sum()
            progress.update(len(batch))
    seconds = (time.monotonic() - started) / len(samples)
    log.info(
        f"{len(samples)} models of epoch {predictor.restored.epoch} in {out}: {low:.3f} to {high:.3f} km/s, "
        f"mean {total / len(samples):.3f}; {seconds:.2g} s a sample"
    )
    if spreads:
        log.info(f"standard deviations of {predictor.config.total_members} members in {spread_path(out)}")


def parts(predictor: Predictor, count: int, about: int = 24) -> list[range]:
    """``count`` test samples in parts of whole batches, ``about`` so many samples each, for ``submit`` side by side."""
    size = min(predictor.config.infer.batch_size, count)
    step = max(1, about // size) * size
    return [range(k, min(k + step, count)) for k in range(0, count, step)]


def merge(pieces: Sequence[Path], out: Path, samples: Sequence[Sample], predictor: Predictor) -> None:
    """One checked file of ``pieces``. ``UserError`` unless they hold exactly ``samples`` and were made alike."""
    made = []
    for piece in pieces:
        with read_submission(piece) as submission:
            made.append(submission.made_from)
            if made[-1] != made[0]:
                raise UserError(f"{piece}: made from something else than {pieces[0]}; predict the parts again")
    with SubmissionWriter(out, made[0]) as writer:
        for piece in pieces:
            with read_submission(piece) as submission:
                for sample_id in submission.ids:
                    writer.write(sample_id, submission.read(sample_id, predictor.survey.model_shape))
    check_submission(out, [sample.id for sample in samples], predictor.survey, plausible_km_s=(-np.inf, np.inf))


def _refuse_other_survey(sample: Sample, predictor: Predictor) -> None:
    """Gathers of another shape mean another survey, not bad samples: say so before anything else."""
    right = predictor.survey.gathers_shape[1:]
    for name in gather_files(predictor.survey):
        try:
            found = header_of(sample.path / name).shape
        except (OSError, ValueError):
            continue  # checking the samples will say what is wrong
        if found != right:
            raise UserError(
                f"{predictor.restored.path} was trained for another survey: its gathers are {right} (time, receiver) a "
                f"shot, {sample.path / name} is {found}"
            )
