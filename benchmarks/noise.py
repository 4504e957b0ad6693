"""What noise in the gathers costs, and which floor of the whitening it asks for: a table as Markdown.

    python benchmarks/noise.py --run runs/quickstart

The test gathers of a run with noise added, of 1, 3 and 10 % of the root mean square of what the section adds to the
background's response: white up to the Nyquist frequency of the decimated gathers, and the same below 5 Hz only. Rows:
the run's ensemble; and kernel regression fitted anew to the run's training samples for each ``whiten_floor``, with and
without the noise that training adds (``augment.noise``) in its training gathers.
"""

import argparse
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from noisy import KINDS, LEVELS, noise

from jax_inversion import config as configs
from jax_inversion import regression, training
from jax_inversion.data.folders import read_velocity
from jax_inversion.data.inputs import from_arrays
from jax_inversion.data.rows import Store
from jax_inversion.inference.predictor import Predictor
from jax_inversion.inference.scoring import find_truth
from jax_inversion.inference.submit import test_samples
from jax_inversion.metrics import mape
from jax_inversion.resampling import cell_means
from jax_inversion.runs import Run
from jax_inversion.sections import EnsembleConfig
from jax_inversion.train import open_store
from jax_inversion.training.base import base_input
from jax_inversion.training.samples import coarse_shape

FLOORS = (0.01, 0.03, 0.1, "auto")
CELLS_M = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    options = parser.parse_args()
    predictor, config = Predictor.load(options.run), configs.load(options.run / "config.toml")
    samples = test_samples(predictor)
    clean = np.concatenate([gathers for _, gathers in predictor.read(samples, 10)])
    truth = find_truth(Run(options.run).data / "truth", predictor.survey)
    models = {sample.id: read_velocity(sample, truth.survey) for sample in truth.samples}
    shape = coarse_shape(predictor.survey, CELLS_M)
    truths = cell_means((models[sample.id] for sample in samples), shape)
    sets = {"none": clean} | {
        f"{kind} {100 * level:g} %": clean + noise(predictor, clean, level, kind) for kind in KINDS for level in LEVELS
    }

    def row(name: str, predict: Callable[[np.ndarray], np.ndarray]) -> None:
        scores = [np.mean([mape(p, t) for p, t in zip(predict(g), truths, strict=True)]) for g in sets.values()]
        print(f"| {name} | " + " | ".join(f"{100 * score:.2f}" for score in scores) + " |", flush=True)

    print(f"| MAPE (%) on {CELLS_M:g} m cells, {len(samples)} samples | " + " | ".join(sets) + " |")
    print("| --- |" + " --: |" * len(sets))
    row("ensemble of the run", lambda g: cell_means(by_batches(predictor, g), shape))
    store = open_store(config, None, options.run)
    added = np.random.default_rng(1).standard_normal(store.gathers.shape, np.float32)
    noisy = dataclasses.replace(store, gathers=store.gathers + config.augment.noise * store.std * added)
    alone = dataclasses.replace(config, ensemble=EnsembleConfig(1))  # no base of other groups need be fitted
    for floor in FLOORS:
        changed = dataclasses.replace(alone, preprocess=dataclasses.replace(config.preprocess, whiten_floor=floor))
        row(f"kernel regression, floor {floor}", kernel(changed, store, shape))
        row(f"kernel regression, floor {floor}, trained with noise", kernel(changed, noisy, shape))


def by_batches(predictor: Predictor, gathers: np.ndarray) -> np.ndarray:
    return np.concatenate([predictor.models(gathers[k : k + 10])[0] for k in range(0, len(gathers), 10)])


def kernel(config: configs.Config, store: Store, shape: tuple[int, int]) -> Callable[[np.ndarray], np.ndarray]:
    """Kernel regression fitted to the training samples of ``store``."""
    samples = training.split(store, config.data.validation_fraction, config.data.split_seed)
    arrays = training.fit_base(config, samples).arrays
    inputs = from_arrays(config.preprocess, store.survey, store.std, arrays)
    return lambda gathers: regression.predict(arrays, "kernel", base_input(config, gathers, inputs), shape)


if __name__ == "__main__":
    main()
