"""What refining cannot draw: truths in the coordinates that it works in, against its own noise, band by band.

    python benchmarks/drawn.py --ckpt pretrained --data DIR --count 12

A correction that keeps depths is log velocity over the prediction's, on cells of ``refine.spacing_m``, interpolated to
the model's. That of the truth is averaged to these cells, as for the prior, or is the nearest in least squares. Gathers
of the model so drawn are compared with those of the truth, by the same simulator, in the objective's own whitened data;
and those of the truth with what was recorded (on finer cells, say): the simulator's error. In percent of the data, as
Markdown.
"""

import itertools

import jax.numpy as jnp
import numpy as np
from named import named

from jax_inversion.data.folders import Sample, read_gathers, read_velocity
from jax_inversion.inference.predictor import Predictor
from jax_inversion.physics import simulate
from jax_inversion.refinement.objective import Observed, band, filtered, misfits, options
from jax_inversion.refinement.submission import background_of, setting_of
from jax_inversion.resampling import interpolation_matrix, resize
from jax_inversion.training.samples import coarse_shape

WHAT = "averaged to cells", "nearest", "the simulator's error"


def drawn(
    start_km_s: np.ndarray, truth_km_s: np.ndarray, shape: tuple[int, int], bounds: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """The truth as a correction of the prediction: averaged to cells of ``shape``, and the nearest that they draw."""
    missing = np.log(truth_km_s / start_km_s)
    x, z = (np.linalg.pinv(interpolation_matrix(*sizes)) for sizes in zip(shape, missing.shape, strict=True))
    on_cells = resize(missing, shape), x @ missing @ z.T
    averaged, nearest = (start_km_s * np.exp(resize(each, missing.shape)) for each in on_cells)
    return np.clip(averaged, *bounds), np.clip(nearest, *bounds)


def shares(sample: Sample, predictor: Predictor) -> list[list[float]]:
    """Of the data of each band: what each of ``WHAT`` leaves, and the noise that the band is fitted to."""
    setting = setting_of(predictor.config, predictor.restored.survey)
    survey, settings = setting.survey, setting.refine
    truth = read_velocity(sample, predictor.survey).astype(np.float32)
    recorded = predictor.decimated(read_gathers(sample, predictor.survey), cut=False)[0]
    start = predictor.predict(recorded).velocity_km_s
    background = background_of(predictor, setting)
    observed = Observed(start, recorded, background, np.ones(survey.shots, np.float32))
    shape, bounds = coarse_shape(survey, settings.spacing_m), (survey.v_min_km_s, survey.v_max_km_s)
    models = truth, *drawn(start, truth, shape, bounds)
    of_truth, *of_drawn = (
        simulate(jnp.asarray(each), survey, **options(setting.simulator, observed)) for each in models
    )
    left = [of_truth - each for each in of_drawn] + [recorded - of_truth]
    bands = [
        band(survey, observed, setting.preprocess, hz, settings.noise, settings.noise_corner_hz)
        for hz in settings.bands_hz
    ]
    return [[*(float(misfits(b, observed, filtered(b, each)).fitted) for each in left), float(b.noise)] for b in bands]


def main() -> None:
    predictor, folders = named(__doc__, count=12)
    samples = list(itertools.chain(*folders.values()))
    found = 100 * np.array([shares(sample, predictor) for sample in samples])  # (sample, band, what)
    columns = " | ".join(f"{what}, median | worst" for what in WHAT)
    print(f"| band, {len(samples)} samples | {columns} | fitted to, median | `refine.noise` |")
    print("|---|" + "--:|" * (2 * len(WHAT) + 2))
    settings = predictor.config.refine
    for hz, median, worst in zip(settings.bands_hz, np.median(found, axis=0), found.max(0), strict=True):
        cells = [value for pair in zip(median[:-1], worst[:-1], strict=True) for value in pair]
        told = " | ".join(f"{value:.2f}" for value in [*cells, median[-1], 100 * settings.noise])
        print(f"| to {hz:g} Hz | {told} |")


if __name__ == "__main__":
    main()
