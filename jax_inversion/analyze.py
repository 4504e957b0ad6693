"""``python -m jax_inversion.analyze``: what a folder of samples holds, in numbers and figures."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from . import config, plots
from .cli import front_door
from .data.folders import MODEL_FILE, Sample, faults_of, find_samples, read_gathers, read_velocity
from .data.statistics import AmplitudeStatistics, VelocityStatistics, evenly
from .errors import UserError
from .progress import track
from .survey import CHALLENGE, Survey

MEASURED = 200  # samples of a split at most whose values are measured
DRAWN = 8  # models and
GATHERS_DRAWN = 2  # gathers
LISTED = 20  # bad samples


@dataclass
class Analysis:
    """What was found. ``faults`` maps sample id to what is wrong with it; ``figures`` were written."""

    counts: dict[str, int]
    with_models: int
    measured: int
    faults: dict[str, list[str]]
    amplitudes: AmplitudeStatistics | None
    velocities: VelocityStatistics | None
    figures: list[Path] = field(default_factory=list)


def analyze(data: Path | str, out: Path | str | None = None, survey: Survey = CHALLENGE) -> Analysis:
    """Check all samples under ``data``, measure at most ``MEASURED`` of each split, draw figures in ``out``.

    ``out`` defaults to DATA/analysis. A bad sample does not stop it; ``UserError`` where no sample is usable.
    """
    data = Path(data)
    splits = _splits(data, survey)
    out = _writable(Path(out) if out else data / "analysis")
    faults: dict[str, list[str]] = {}
    good: dict[str, list[Sample]] = {}
    for split, samples in splits.items():
        found = {s.id: _faults(s, survey) for s in track(samples, len(samples), f"checking {split}")}
        faults |= {f"{split}/{sample_id}": bad for sample_id, bad in found.items() if bad}
        good[split] = [s for s in samples if not found[s.id]]
    if not any(good.values()):
        first = next(iter(faults.values()))[0]
        raise UserError(f"{data}: none of {len(faults)} samples is usable; the first fault: {first}")

    chosen = [samples[k] for samples in good.values() for k in evenly(len(samples), MEASURED)]
    amplitudes, models = AmplitudeStatistics(survey.dt_s), {}
    for sample in track(chosen, len(chosen), "measuring"):
        amplitudes.add(read_gathers(sample, survey))
        if _has_model(sample, survey):
            models[sample.id] = read_velocity(sample, survey)
    stack = np.stack(list(models.values())) if models else None
    result = Analysis(
        counts={split: len(samples) for split, samples in splits.items()},
        with_models=sum(_has_model(s, survey) for samples in splits.values() for s in samples),
        measured=len(chosen),
        faults=faults,
        amplitudes=amplitudes,
        velocities=None if stack is None else VelocityStatistics.of(stack, survey.spacing_m),
    )
    result.figures = _draw(chosen, models, amplitudes, survey, out)
    return result


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
    if result.measured < total - len(result.faults):
        lines.append(f"{'measured':<12} {result.measured} samples spread evenly over the {total}; all were checked")
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
    lines.append(f"{'bad samples':<12} {len(result.faults) or 'none'}")
    shown = list(result.faults.items())[:LISTED]
    lines += [f"  {sample_id}: {'; '.join(bad)}" for sample_id, bad in shown]
    lines += [f"  ... and {len(result.faults) - LISTED} more"] if len(result.faults) > LISTED else []
    lines.append(f"{'figures':<12} {result.figures[0].parent}: {', '.join(path.name for path in result.figures)}")
    return "\n".join(lines)


def _splits(data: Path, survey: Survey) -> dict[str, list[Sample]]:
    """Samples by split; a folder without train/ and test/ is one split of its own name."""
    there = [split for split in ("train", "test") if (data / split).is_dir()]
    if not there:
        return {data.resolve().name: find_samples(data, None, survey)}
    splits = {}
    for split in there:
        try:
            splits[split] = find_samples(data, split, survey)
        except UserError as error:
            if split == there[-1] and not splits:
                raise
            print(error)
    return splits


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}); give another folder with --out DIR") from None
    return folder


def _has_model(sample: Sample, survey: Survey) -> bool:
    return (sample.path / MODEL_FILE).exists()


def _faults(sample: Sample, survey: Survey) -> list[str]:
    """A model is not missed where there is none (test samples); training misses it by itself."""
    return faults_of(sample, survey, velocity=_has_model(sample, survey) or sample.path.parent.name == "train")


def _draw(
    samples: list[Sample],
    models: dict[str, np.ndarray],
    amplitudes: AmplitudeStatistics,
    survey: Survey,
    out: Path,
) -> list[Path]:
    figures = {}
    for k in evenly(len(samples), GATHERS_DRAWN):
        title = f"{samples[k].id}, automatic gain"
        figures[f"gathers_{len(figures) + 1}"] = plots.gather_panel(
            read_gathers(samples[k], survey), survey, title=title, gain="agc"
        )
    frequency, level = amplitudes.spectrum()
    marks = {"peak": amplitudes.peak_hz(), "-40 dB": amplitudes.highest_hz()}
    figures["spectrum"] = plots.amplitude_spectrum(frequency, level, marks)
    if models:
        ids = list(models)
        shown = [ids[k] for k in evenly(len(ids), DRAWN)]
        stack = np.stack(list(models.values()))
        figures["models"] = plots.model_panel([models[i] for i in shown], survey, shown)
        counts, edges = np.histogram(stack, 60)
        figures["velocity_histogram"] = plots.histogram(counts, edges, "Velocities of all cells", "velocity (km/s)")
        figures["velocity_with_depth"] = plots.depth_profiles(stack, survey)
    return [plots.save(figure, out / f"{name}.png") for name, figure in figures.items()]


@front_door
def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m jax_inversion.analyze",
        description="Count and check the samples of a folder, measure and draw amplitudes, spectrum, velocities.",
    )
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="train/ and test/, or samples themselves"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the figures (default: DATA/analysis)")
    parser.add_argument(
        "--survey", type=Path, metavar="CONFIG.toml", help="config of a survey other than the challenge's"
    )
    options = parser.parse_args(argv)
    survey = config.load(options.survey).survey if options.survey else CHALLENGE
    print(text(analyze(options.data, options.out, survey), survey))


if __name__ == "__main__":
    raise SystemExit(main())
