"""The baselines without a network: kernel ridge regression in closed form from gathers to the logarithm of velocity.

Every sample counts twice, as it is and mirrored. The kernels do not change when both their arguments are mirrored, so
the mirror-even and mirror-odd parts of the targets do not mix: the regression on 2 N samples is two on N, with matrices
K(x, x') + K(x, mirrored x') and K(x, x') - K(x, mirrored x'), and predictions are mirror-equivariant by construction.
What a sample would be predicted as with itself left out costs nothing more: y_i - a_i / (K^-1)_ii with a = K^-1 y
(Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, eq. 5.12).

Linear regression has the kernel x . x'; kernel regression has Laplace's, exp(-|x - x'| / length), which follows the
data where they curve.
"""

from collections.abc import Mapping

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ..survey import mirror_gathers, mirror_velocity

KERNELS = ("linear", "kernel")
INPUT_COMPONENTS, TARGET_COMPONENTS = (
    256,
    96,
)  # principal components, of the mirror-even and of the mirror-odd part each
GAIN = 30.0  # amplitudes of this over t / 1 s are where arcsinh begins to compress
_CHUNK = 64

Arrays = dict[str, np.ndarray]
Inputs = Float[np.ndarray, "n shot time receiver"]
Grids = Float[np.ndarray, "n gx gz"]


def features(gathers: Inputs, dt_s: float, interval_s: float, std: float) -> Inputs:
    """Amplitudes over ``std`` grow with time, are compressed by arcsinh and averaged over ``interval_s``; float32."""
    n, shots, nt, receivers = gathers.shape
    step = max(1, round(interval_s / dt_s))
    kept = nt // step * step
    gain = (np.arange(kept) * dt_s * GAIN / std).astype(np.float32)[:, None]
    out = np.empty((n, shots, kept // step, receivers), np.float32)
    for k in range(0, n, _CHUNK):
        scaled = np.arcsinh(gathers[k : k + _CHUNK, :, :kept] * gain)
        out[k : k + _CHUNK] = scaled.reshape(-1, shots, kept // step, step, receivers).mean(3)
    return out


def project(inputs: Inputs) -> tuple[Arrays, Float[np.ndarray, "n component"]]:
    """Principal components of the inputs, mirror-even ones first: what they need, and the projected inputs."""
    centre = _part(inputs.mean(0), mirror_gathers, +1)
    bases = []
    for sign in (+1, -1):
        part = _part(inputs - centre, mirror_gathers, sign).reshape(len(inputs), -1)
        vectors, values = _leading(part @ part.T, INPUT_COMPONENTS)
        bases.append(part.T @ (vectors / np.sqrt(values)))
    signs = np.concatenate([np.full(b.shape[1], s, np.float32) for b, s in zip(bases, (1, -1), strict=True)])
    arrays = {"centre": centre, "basis": np.concatenate(bases, axis=1).astype(np.float16), "signs": signs}
    return arrays, components(arrays, inputs)


def components(arrays: Mapping[str, np.ndarray], inputs: Inputs) -> Float[np.ndarray, "n component"]:
    """Projected inputs, from ``features``."""
    return (inputs - arrays["centre"]).reshape(len(inputs), -1) @ arrays["basis"].astype(np.float32)


def fit(
    kernel: str, points: Float[np.ndarray, "n component"], signs: np.ndarray, log_velocity: Grids, penalty: float
) -> tuple[Arrays, Grids]:
    """The fitted arrays, and each sample's own prediction with itself left out, in km/s.

    ``points`` and ``signs`` come from ``project``; ``log_velocity`` are means over coarse cells. ``penalty`` is
    relative to the kernel's mean diagonal.
    """
    centre = _part(log_velocity.mean(0), mirror_velocity, +1)
    distances = _squared_distances(points, points)
    scale = np.mean((points**2).sum(1)) if kernel == "linear" else 2 * np.sqrt(np.median(distances))
    plain = _kernel(kernel, points, points, scale)
    mirrored = _kernel(kernel, points, points * signs, scale)
    left_out = np.zeros_like(log_velocity)
    duals, patterns = [], []
    for sign in (+1, -1):
        target = _part(log_velocity - centre, mirror_velocity, sign).reshape(len(points), -1)
        matrix = (plain + sign * mirrored).astype(np.float64)
        matrix[np.diag_indices_from(matrix)] += penalty
        inverse = scipy.linalg.inv(matrix, overwrite_a=True, check_finite=False).astype(np.float32)
        left_out += (target - (inverse @ target) / np.diag(inverse)[:, None]).reshape(log_velocity.shape)
        vectors, _ = _leading(target @ target.T, TARGET_COMPONENTS)
        duals.append(inverse @ vectors)
        patterns.append(vectors.T @ target)
    arrays = {
        "points": points,
        "scale": np.float32(scale),
        "even": duals[0],
        "odd": duals[1],
        "patterns": np.concatenate(patterns).reshape(-1, *log_velocity.shape[1:]).astype(np.float16),
        "mean": centre,
    }
    return arrays, np.exp(left_out + centre)


def apply(kernel: str, arrays: Mapping[str, np.ndarray], points: np.ndarray, signs: np.ndarray) -> Grids:
    """Velocity in km/s on the coarse grid, from projected inputs."""
    plain = _kernel(kernel, points, arrays["points"], arrays["scale"])
    mirrored = _kernel(kernel, points, arrays["points"] * signs, arrays["scale"])
    weights = [(plain + mirrored) @ arrays["even"], (plain - mirrored) @ arrays["odd"]]
    log_velocity = np.tensordot(np.concatenate(weights, axis=1), arrays["patterns"].astype(np.float32), 1)
    return np.exp(log_velocity + arrays["mean"])


def predict(arrays: Mapping[str, np.ndarray], kernel: str, gathers: Inputs) -> Grids:
    """Velocity in km/s on the coarse grid, from decimated gathers and the arrays of a fitted ``training.base.Base``."""
    settings = (float(arrays[name]) for name in ("dt_s", "interval_s", "std"))
    points = components(arrays, features(np.asarray(gathers), *settings))
    own = {name.removeprefix(f"{kernel}_"): array for name, array in arrays.items() if name.startswith(f"{kernel}_")}
    return apply(kernel, own, points, np.asarray(arrays["signs"]))


def _kernel(kernel: str, a: np.ndarray, b: np.ndarray, scale: float) -> np.ndarray:
    if kernel == "linear":
        return a @ b.T / scale
    return np.exp(-np.sqrt(_squared_distances(a, b)) / scale)


def _squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :]
    return np.maximum(squares - 2 * a @ b.T, 0)


def _leading(gram: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` largest eigenvectors, as columns, and their eigenvalues; those of rounding's size are left out."""
    n = len(gram)
    values, vectors = scipy.linalg.eigh(gram, subset_by_index=(max(0, n - count), n - 1), check_finite=False)
    real = values > 1e-6 * max(values[-1], 1e-30)
    return vectors[:, real], values[real]


def _part(values: np.ndarray, mirror, sign: int) -> np.ndarray:
    """The mirror-even (+1) or mirror-odd (-1) part."""
    return (values + sign * mirror(values)) / 2
