"""What a folder of samples holds: counts, what is wrong, measurements of amplitudes and velocities."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..progress import track
from ..survey import Survey
from .folders import (
    MODEL_FILE,
    SPLITS,
    BadSample,
    Sample,
    Split,
    find_samples,
    read_gathers,
    read_sample,
    read_velocity,
    refuse_twins,
)
from .statistics import AmplitudeStatistics, VelocityStatistics, evenly

log = logging.getLogger(__name__)

MEASURED = 200  # samples of a split at most whose values are measured
LISTED = 20  # bad samples


@dataclass(frozen=True)
class Analysis:
    """What was found. ``faults`` maps split/id to what is wrong with it, ``dead`` to how many of its traces are zero
    throughout, where some are; ``chosen`` were measured, ``models`` by id.
    """

    counts: dict[str, int]
    with_models: int
    faults: dict[str, list[str]]
    dead: dict[str, int]
    chosen: list[Sample]
    models: dict[str, np.ndarray]
    amplitudes: AmplitudeStatistics
    velocities: VelocityStatistics | None


def examine(data: Path, survey: Survey) -> Analysis:
    """Check all samples under ``data``, measure at most ``MEASURED`` of each split.

    A bad sample does not stop it; ``UserError`` where no sample is usable, and where one id is in both splits.
    """
    splits = _splits(data, survey)
    faults: dict[str, list[str]] = {}
    dead: dict[str, int] = {}
    good: dict[str, list[Sample]] = {}
    for split, samples in splits.items():
        found = {s.id: _look(s, survey) for s in track(samples, len(samples), f"checking {split}")}
        faults |= {f"{split}/{sample_id}": bad for sample_id, (bad, _) in found.items() if bad}
        dead |= {f"{split}/{sample_id}": count for sample_id, (_, count) in found.items() if count}
        good[split] = [s for s in samples if not found[s.id][0]]
    if not any(good.values()):
        first = next(iter(faults.values()))[0]
        raise UserError(f"{data}: none of {len(faults)} samples is usable; the first fault: {first}")
    chosen = [samples[k] for samples in good.values() for k in evenly(len(samples), MEASURED)]
    amplitudes, models = AmplitudeStatistics(survey.dt_s), {}
    for sample in track(chosen, len(chosen), "measuring"):
        amplitudes.add(read_gathers(sample, survey))
        if _has_model(sample):
            models[sample.id] = read_velocity(sample, survey)
    return Analysis(
        counts={split: len(samples) for split, samples in splits.items()},
        with_models=sum(_has_model(s) for samples in splits.values() for s in samples),
        faults=faults,
        dead=dead,
        chosen=chosen,
        models=models,
        amplitudes=amplitudes,
        velocities=VelocityStatistics.of(np.stack(list(models.values())), survey.spacing_m) if models else None,
    )


def text(result: Analysis, survey: Survey) -> str:
    """The findings as lines for a terminal."""
    total = sum(result.counts.values())
    lines = [f"{split:<12} {count} samples" for split, count in result.counts.items()]
    lines += [
        f"{'models':<12} {result.with_models} of {total} samples have one",
        f"{'gathers':<12} {survey.shots} shots of {survey.gathers_shape[1:]} (time, receiver) float32,"
        f" {survey.duration_s:g} s every {1e3 * survey.dt_s:g} ms",
        f"{'velocity':<12} {survey.model_shape} (x, depth), cells of {survey.spacing_m:g} m",
    ]
    if len(result.chosen) < total - len(result.faults):
        lines.append(f"{'measured':<12} {len(result.chosen)} samples spread evenly over the {total}; all were checked")
    a = result.amplitudes
    lines += [
        f"{'amplitude':<12} {a.low:.4g} to {a.high:.4g}, mean {a.mean:.3g}, standard deviation {a.std:.5g}",
        f"{'spectrum':<12} peak {a.peak_hz():.1f} Hz, -40 dB at {a.highest_hz():.1f} Hz",
    ]
    if v := result.velocities:
        shallow, mean, deep = v.sea_floor_m
        lines += [
            f"{'velocity':<12} {v.low:.3f} to {v.high:.3f} km/s, mean {v.mean:.3f}, median {v.median:.3f}, standard "
            f"deviation {v.std:.3f}",
            f"{'sea floor':<12} {shallow:.0f} to {deep:.0f} m deep, mean {mean:.0f} m",
        ]
    if result.dead:
        worst, most = max(result.dead.items(), key=lambda item: item[1])
        traces = f"{sum(result.dead.values())} in {len(result.dead)} samples, the most in {worst}"
        lines.append(f"{'dead traces':<12} {traces} ({most} of {survey.shots * survey.receivers})")
    lines.append(f"{'bad samples':<12} {len(result.faults) or 'none'}")
    shown = list(result.faults.items())[:LISTED]
    lines += [f"  {sample_id}: {'; '.join(bad)}" for sample_id, bad in shown]
    lines += [f"  ... and {len(result.faults) - LISTED} more"] if len(result.faults) > LISTED else []
    return "\n".join(lines)


def _splits(data: Path, survey: Survey) -> dict[str, list[Sample]]:
    """Samples by split; a folder without train/ and test/ is one split of its own name."""
    there: list[Split] = [split for split in SPLITS if (data / split).is_dir()]
    if not there:
        return {data.resolve().name: find_samples(data, None, survey)}
    splits: dict[str, list[Sample]] = {}
    for split in there:
        try:
            splits[split] = find_samples(data, split, survey)
        except UserError as error:
            if split == there[-1] and not splits:
                raise
            log.warning(error)
    refuse_twins([sample for samples in splits.values() for sample in samples])
    return splits


def _has_model(sample: Sample) -> bool:
    return (sample.path / MODEL_FILE).exists()


def _look(sample: Sample, survey: Survey) -> tuple[list[str], int]:
    """What is wrong with a sample, and how many of its traces are zero throughout.

    A model is not missed where there is none (test samples); training misses it by itself.
    """
    try:
        gathers, _ = read_sample(sample, survey, _has_model(sample) or sample.path.parent.name == "train")
    except BadSample as bad:
        return list(bad.faults), 0
    return [], int(np.count_nonzero(~gathers.any(axis=1)))
