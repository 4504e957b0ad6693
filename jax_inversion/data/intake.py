"""Samples that come from elsewhere: looked at before they are written, and left alone where they are there already."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import UserError
from ..files import recover
from ..survey import Survey
from .amplitudes import LOUDEST
from .folders import PLAUSIBLE_KM_S, SPLITS, BadSample, Sample, Split, read_sample, write_sample


def prepare(out: Path, split: Split, ids: Sequence[str]) -> None:
    """Clear what killed writers of these samples left in ``out/split``.

    ``UserError`` for ids that are no folder's name, come twice, or are those of samples of the other split.
    """
    if odd := next((name for name in ids if "/" in name or name.startswith(".") or not name), None):
        raise UserError(f"sample {odd!r}: not a name for a folder; change --prefix or the file's name")
    if len(set(ids)) < len(ids):
        twin = next(name for name, count in Counter(ids).items() if count > 1)
        raise UserError(f"two samples would be called {twin}; convert them one after the other, with --prefix")
    other = out / next(name for name in SPLITS if name != split)
    if twin := next((name for name in ids if (other / name).exists()), None):
        raise UserError(f"{other} has {twin} already, and one sample cannot train and test; give --prefix")
    torn = {path.name[1:].rsplit(".", 2)[0] for path in (out / split).glob(".*.partial")}
    for name in torn.intersection(ids):
        recover(out / split / name)


def take_in(folder: Path, sample_id: str, survey: Survey, gathers: np.ndarray, velocity: np.ndarray | None) -> bool:
    """Write ``folder/sample_id`` whole or not at all; False where just this sample is there already.

    ``UserError``: what is wrong with the arrays, or another sample has the name. One that a kill left torn is replaced.
    """
    if fault := _fault(gathers, velocity):
        raise UserError(f"sample {sample_id}: {fault}")
    path = folder / sample_id
    if path.exists():
        try:
            old, model = read_sample(Sample(sample_id, path), survey, velocity is not None)
        except BadSample:
            pass
        else:
            pairs = [(old, gathers)] + ([(model, velocity)] if model is not None and velocity is not None else [])
            if not all(np.array_equal(one, other) for one, other in pairs):
                raise UserError(f"{path}: is there with other contents; give another --out or --prefix, or remove it")
            return False
    write_sample(folder, sample_id, survey, gathers, velocity)
    return True


def _fault(gathers: np.ndarray, velocity: np.ndarray | None) -> str:
    """What makes a sample unusable; nothing where it is good."""
    for name, array in (("gathers", gathers), ("velocity", velocity)):
        if array is not None and (bad := array.size - np.count_nonzero(np.isfinite(array))):
            return f"{name}: {bad} of {array.size} values are NaN or infinite"
    if not gathers.any():
        return "the amplitudes of all shots are zero"
    if (peak := float(np.abs(gathers).max())) > LOUDEST:
        return f"an amplitude of {peak:.3g}; plausible is up to {LOUDEST:g}"
    low, high = PLAUSIBLE_KM_S
    if velocity is not None and not low <= velocity.min() <= velocity.max() <= high:
        spread = f"{velocity.min():.6g} to {velocity.max():.6g} km/s; plausible is {low:g} to {high:g} km/s"
        return f"velocity from {spread}: are its units m/s, or other ones?"
    return ""
