"""What a correction looks like: the network's own errors on samples whose truth is known.

Logarithms of truth over prediction, averaged to coarse cells, have the covariance

    C = (1 - share) S + share S o T

S is the sample covariance; T, a Gaussian of distance, keeps of it what is near, so that the matrix has full rank and a
correction may also be what no sample showed (localisation: Houtekamer and Mitchell 2001,
doi:10.1175/1520-0493(2001)129<0123:ASEKFF>2.0.CO;2). Share and range are those under which samples left out of S are
likeliest.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ..errors import UserError
from ..files import DAMAGED_ZIP, digest_json, open_plain, write_aside

SHARES, RANGES_M = (0.1, 0.3, 0.6, 0.9), (30.0, 60.0, 120.0)
MOST_CELLS = 8000  # whose covariance is a matrix of half a gigabyte
_NUGGET = 1e-3  # of each variance: beds thinner than a cell
_LEAST = 1e-4  # standard deviation: in the water nothing is ever wrong

Fields = Float[np.ndarray, "n X Z"]


@dataclass(frozen=True, eq=False)
class Prior:
    """``factor`` (X Z, X Z) is C's lower Cholesky factor, of fields (X, Z) of log velocity."""

    factor: Float[np.ndarray, "cells cells"]
    shape: tuple[int, int]
    share: float
    range_m: float


def fit(errors: Fields, spacing_m: float, mirror: bool) -> Prior:
    """The prior of errors of log velocity, (n, X, Z) on cells of ``spacing_m``; with ``mirror`` mirrored ones too.

    ``UserError`` for fewer than 16 samples or more than ``MOST_CELLS`` cells.
    """
    cells = errors[0].size if len(errors) else 0
    if len(errors) < 16:
        raise UserError(
            f"{len(errors)} samples are too few to learn a prior from; right is 16 or more, better hundreds"
        )
    if cells > MOST_CELLS:
        raise UserError(f"a prior on {cells} cells is too large, at most {MOST_CELLS}; raise refine.spacing_m")
    part = np.arange(len(errors)) % 4 == 0
    fitted, judged = covariance(errors[~part], mirror), _rows(errors[part], mirror)
    distance = _squared_distances(errors.shape[1:], spacing_m)
    options = list(itertools.product(SHARES, RANGES_M))
    likeliest = max(options, key=lambda option: log_likelihood(_blend(fitted, distance, *option), judged))
    return of(errors, spacing_m, mirror, *likeliest)


def of(errors: Fields, spacing_m: float, mirror: bool, share: float, range_m: float) -> Prior:
    """The prior of errors, with a share and a range that are known."""
    distance = _squared_distances(errors.shape[1:], spacing_m)
    matrix = _blend(covariance(errors, mirror), distance, share, range_m)
    factor = scipy.linalg.cholesky(matrix, lower=True, overwrite_a=True, check_finite=False)
    return Prior(factor.astype(np.float32), (errors.shape[1], errors.shape[2]), share, range_m)


def covariance(errors: Fields, mirror: bool) -> Float[np.ndarray, "cells cells"]:
    """Second moments about zero: a correction of nothing is the likeliest."""
    rows = _rows(errors, mirror)
    return rows.T @ rows / len(rows)


def log_likelihood(matrix: Float[np.ndarray, "cells cells"], rows: Float[np.ndarray, "n cells"]) -> float:
    """Of a normal distribution, a row, up to a constant."""
    factor = scipy.linalg.cholesky(matrix, lower=True, check_finite=False)
    white = scipy.linalg.solve_triangular(factor, rows.T, lower=True, check_finite=False)
    return float(-0.5 * np.square(white).sum() / len(rows) - np.log(np.diag(factor)).sum())


def save(prior: Prior, path: Path, made_from: Any) -> None:
    """Keep it in ``path`` with what it was made from."""
    numbers = np.array([prior.share, prior.range_m])
    with write_aside(path) as aside, aside.open("wb") as file:
        made = np.frombuffer(digest_json(made_from).encode(), np.uint8)
        np.savez(file, factor=prior.factor, shape=np.array(prior.shape), numbers=numbers, made_from=made)


def load(path: Path, made_from: Any) -> Prior | None:
    """What ``path`` keeps, if that was made from ``made_from``; None otherwise."""
    try:
        with open_plain(path) as opened, np.load(opened, allow_pickle=False) as file:
            if file["made_from"].tobytes().decode() != digest_json(made_from):
                return None
        return read(path)
    except (*DAMAGED_ZIP, OSError, KeyError):
        return None


def read(path: Path) -> Prior:
    """What ``path`` keeps."""
    with open_plain(path) as opened, np.load(opened, allow_pickle=False) as file:
        share, range_m = file["numbers"]
        nx, nz = file["shape"]
        return Prior(file["factor"], (int(nx), int(nz)), float(share), float(range_m))


def _rows(errors: Fields, mirror: bool) -> Float[np.ndarray, "rows cells"]:
    both = np.concatenate([errors, errors[:, ::-1]]) if mirror else errors
    return both.reshape(len(both), -1).astype(np.float64)


def _blend(
    sample: Float[np.ndarray, "cells cells"], distance: Float[np.ndarray, "cells cells"], share: float, range_m: float
) -> Float[np.ndarray, "cells cells"]:
    matrix = sample * (1 - share + share * np.exp(-distance / (2 * range_m**2)))
    matrix[np.diag_indices_from(matrix)] *= 1 + _NUGGET
    matrix[np.diag_indices_from(matrix)] += _LEAST**2
    return matrix


def _squared_distances(shape: tuple[int, ...], spacing_m: float) -> Float[np.ndarray, "cells cells"]:
    x, z = (place.ravel().astype(np.float32) * np.float32(spacing_m) for place in np.indices(shape))
    return (x[:, None] - x[None]) ** 2 + (z[:, None] - z[None]) ** 2
