"""``python -m jax_inversion.infer``: predict the velocity models of a test set and write the submission."""

import argparse
import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import config, models
from .cli import front_door
from .config import Config
from .data.folders import Sample, check_samples, find_samples, gather_files, read_gathers
from .data.preprocess import decimate
from .errors import UserError
from .inference import SubmissionWriter, check_submission, make_predict, postprocess, read_submission
from .progress import Progress
from .regression import ridge
from .survey import Survey
from .training.checkpoints import Restored, restore
from .training.step import resize_base

BaseFn = Callable[[np.ndarray], Any]


def infer(
    ckpt: Path | str,
    data: Path | str | None = None,
    out: Path | str | None = None,
    uncertainty: bool = False,
    overrides: Sequence[str] = (),
    part: range | None = None,
) -> Path:
    """Predict every test sample under ``data`` with the checkpoint RUN[/best|/latest|/epoch_10]; returns the file.

    ``data`` defaults to what the run was trained with, ``out`` to RUN/submission_epoch_<n>.npz. ``uncertainty`` writes
    the members' standard deviation to ``<out>_spread.npz`` too. ``overrides`` change the [infer] section only.
    ``part``, one of ``parts``, predicts these of the samples only, with the same result. Memory does not grow with the
    samples. ``UserError`` for a missing checkpoint, bad samples or another survey's data.
    """
    restored = restore(ckpt)
    cfg = _with_overrides(restored.config, overrides)
    run = restored.path.parent.parent
    out = Path(out) if out else run / f"submission_epoch_{restored.epoch}.npz"
    samples = find_samples(_data_root(data, cfg, run), "test", cfg.survey)
    size = min(cfg.infer.batch_size, len(samples))
    first = part.start // size if part else 0
    samples = samples[part.start : part.stop] if part else samples
    _refuse_other_survey(samples[0], restored)
    check_samples(samples, cfg.survey, velocity=False)

    started = time.monotonic()
    figures = _Figures()
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(SubmissionWriter(out))
        spreads = stack.enter_context(SubmissionWriter(spread_path(out))) if uncertainty else None
        progress = stack.enter_context(Progress(len(samples), "predicting"))
        for batch, mean, spread in _predictions(restored, cfg, samples, size, first):
            final = postprocess(mean, cfg.survey, smoothing_m=cfg.infer.smoothing_m, clip=cfg.infer.clip)
            for sample, velocity, deviation in zip(batch, final, spread, strict=False):
                writer.write(sample.id, velocity)
                figures.add(velocity)
                if spreads:
                    spreads.write(sample.id, deviation)
            progress.update(len(batch))
    seconds = (time.monotonic() - started) / len(samples)
    print(f"{len(samples)} models of epoch {restored.epoch} in {out}: {figures}; {seconds:.2g} s a sample")
    if spreads:
        print(f"standard deviations of {cfg.ensemble.members} members in {spread_path(out)}")
    return out


def parts(ckpt: Path | str, data: Path | str | None = None, about: int = 24) -> list[range]:
    """The test samples in parts of whole batches, ``about`` so many samples each, for ``infer`` calls side by side."""
    cfg, samples = _test_set(ckpt, data)
    size = min(cfg.infer.batch_size, len(samples))
    step = max(1, about // size) * size
    return [range(k, min(k + step, len(samples))) for k in range(0, len(samples), step)]


def merge(pieces: Sequence[Path], out: Path, ckpt: Path | str, data: Path | str | None = None) -> Path:
    """One checked file of the parts in ``pieces``. ``UserError`` unless they hold exactly the test set."""
    cfg, samples = _test_set(ckpt, data)
    with SubmissionWriter(out) as writer:
        for piece in pieces:
            with read_submission(piece) as submission:
                for sample_id in submission.ids:
                    writer.write(sample_id, submission.read(sample_id, cfg.survey.model_shape))
    check_submission(out, [sample.id for sample in samples], cfg.survey)
    return out


def _test_set(ckpt: Path | str, data: Path | str | None) -> tuple[Config, list[Sample]]:
    restored = restore(ckpt)
    root = _data_root(data, restored.config, restored.path.parent.parent)
    return restored.config, find_samples(root, "test", restored.config.survey)


def spread_path(out: Path) -> Path:
    """Where the members' spread of the submission ``out`` is written."""
    return out.with_name(f"{out.stem}_spread.npz")


class _Figures:
    """Range and mean of all that was written."""

    def __init__(self) -> None:
        self.low, self.high, self.total, self.count = np.inf, -np.inf, 0.0, 0

    def add(self, velocity: np.ndarray) -> None:
        self.low, self.high = min(self.low, velocity.min()), max(self.high, velocity.max())
        self.total, self.count = self.total + float(velocity.sum(dtype=np.float64)), self.count + velocity.size

    def __str__(self) -> str:
        return f"{self.low:.3f} to {self.high:.3f} km/s, mean {self.total / self.count:.3f}"


def _predictions(
    restored: Restored, cfg: Config, samples: Sequence[Sample], size: int, first: int
) -> Iterator[tuple[Sequence[Sample], np.ndarray, np.ndarray]]:
    """(samples, mean, spread) batch by batch; the last batch is filled up, so that there is one compilation.

    ``first`` is the number of the first batch among all of the test set's: its noise is drawn by it.
    """
    predict = make_predict(
        build_model(restored),
        restored.survey,
        std=restored.std,
        scaling=cfg.preprocess.scaling,
        gain_power=cfg.preprocess.gain_power,
        arcsinh=cfg.preprocess.arcsinh,
        mirror=cfg.infer.mirror,
        noise_copies=cfg.infer.noise_copies,
        noise_level=cfg.infer.noise_level,
    )
    base_fn = base_of(restored)
    variables = jax.device_put(restored.variables)
    for number, (batch, gathers) in enumerate(decimated(samples, cfg, size), first):
        filled = np.concatenate([gathers, np.repeat(gathers[-1:], size - len(batch), axis=0)])
        base = None if base_fn is None else base_fn(filled)
        mean, spread = predict(variables, filled, base, jax.random.fold_in(jax.random.key(cfg.train.seed), number))
        yield batch, np.asarray(mean), np.asarray(spread)


def decimated(samples: Sequence[Sample], cfg: Config, size: int) -> Iterator[tuple[Sequence[Sample], np.ndarray]]:
    """Samples with their decimated gathers, ``size`` at a time; the next batch is read while this one is in use."""

    def read(sample: Sample) -> np.ndarray:
        section = cfg.preprocess
        raw = read_gathers(sample, cfg.survey)
        return decimate(raw, cfg.survey.dt_s, section.dt_s, section.low_cut_hz, section.high_cut_hz)

    batches = [samples[k : k + size] for k in range(0, len(samples), size)]
    with ThreadPoolExecutor(min(size, os.cpu_count() or 1)) as pool:
        ahead = [pool.submit(read, sample) for sample in batches[0]]
        for batch, following in zip(batches, [*batches[1:], []], strict=True):
            ready, ahead = ahead, [pool.submit(read, sample) for sample in following]
            yield batch, np.stack([future.result() for future in ready])


def build_model(restored: Restored) -> Any:
    """The checkpoint's network, one member."""
    section = restored.config.model
    return models.build(section.name, restored.survey, **section.architecture)


def base_of(restored: Restored) -> BaseFn | None:
    """``base(gathers) -> (batch, nx, nz)`` where the networks correct a baseline, else None.

    A survey without mirror symmetry has no baseline, whatever its preset asks for: training went without one too.
    """
    kernel = restored.config.base.regression
    if kernel == "none" or restored.base is None:
        return None
    return lambda gathers: resize_base(
        jnp.asarray(ridge.predict(restored.base, kernel, gathers)), restored.survey.model_shape
    )


def _with_overrides(cfg: Config, overrides: Sequence[str]) -> Config:
    changes = config.parse_overrides(overrides)
    if others := sorted(set(changes) - {"infer"}):
        raise UserError(f"command line: --{others[0]}.* is fixed by the checkpoint; infer takes --infer.* only")
    values = config.as_dict(cfg)
    values["infer"] |= changes.get("infer", {})
    return config.from_dict(values, "command line")


def _data_root(data: Path | str | None, cfg: Config, run: Path) -> Path:
    if data:
        return Path(data)
    if cfg.data.root:
        return Path(cfg.data.root)
    if (run / "data").is_dir():
        return run / "data"
    raise UserError(f"{run}: the run does not say where its data lie; give --data DIR")


def _refuse_other_survey(sample: Sample, restored: Restored) -> None:
    """Gathers of another shape mean another survey, not bad samples: say so before anything else."""
    survey: Survey = restored.config.survey
    for name in gather_files(survey):
        try:
            found = np.load(sample.path / name, mmap_mode="r", allow_pickle=False).shape
        except (OSError, ValueError, EOFError):
            continue  # checking the samples will say what is wrong
        if found != survey.gathers_shape[1:]:
            raise UserError(
                f"{restored.path} was trained for another survey: its gathers are {survey.gathers_shape[1:]} (time, "
                f"receiver) a shot, {sample.path / name} is {found}"
            )


@front_door
def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m jax_inversion.infer",
        description="Predict the velocity models of the test samples with a trained ensemble and write a submission.",
        epilog="Settings of the [infer] section may be changed: --infer.mirror false --infer.batch-size 8",
        allow_abbrev=False,
    )
    parser.add_argument("--ckpt", required=True, metavar="RUN[/best|/latest|/epoch_10]", help="default is RUN/best")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="samples, or test/ with samples (default: the run's own)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: RUN/submission_epoch_<n>.npz")
    parser.add_argument("--uncertainty", action="store_true", help="also write the members' spread, <out>_spread.npz")
    options, overrides = parser.parse_known_args(argv)
    infer(options.ckpt, options.data, options.out, options.uncertainty, overrides)


if __name__ == "__main__":
    raise SystemExit(main())
