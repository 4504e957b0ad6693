"""How a checkpoint does on geologies that it may never have seen, and under noise: samples kept aside for judging.

    python benchmarks/families.py --ckpt pretrained --samples DIR

Forty samples of each geology, seed 901, made on 5 m cells in the challenge's layout where they are not there yet;
MAPE, and how often intervals of 90 % hold the truth. Then the marine ones with noise as in ``noise.py``.
"""

import argparse
from pathlib import Path

import numpy as np
from noisy import KINDS, LEVELS, name, noise

import jax_inversion
from jax_inversion.data.folders import find_samples, read_gathers, read_velocity
from jax_inversion.geology import PRESETS
from jax_inversion.inference.predictor import Predictor
from jax_inversion.metrics import mape
from jax_inversion.physics.settings import SimulatorConfig
from jax_inversion.simulate import simulate

COUNT, SEED, LEVEL = 40, 901, 0.9
BATCH = 10


def judged(
    predictor: Predictor, folder: Path, level: float = 0.0, kind: str = "white"
) -> tuple[np.ndarray, np.ndarray]:
    """MAPE and coverage of each sample below ``folder``, with noise of ``level`` of what the section adds."""
    samples = find_samples(folder, None, predictor.survey)
    scores, held = [], []
    for k in range(0, len(samples), BATCH):
        some = samples[k : k + BATCH]
        gathers = np.concatenate([predictor.decimated(read_gathers(sample, predictor.survey)) for sample in some])
        found = predictor.predict(gathers + noise(predictor, gathers, level, kind), intervals=LEVEL)
        for sample, model, low, high in zip(some, found.velocity_km_s, found.low, found.high, strict=True):
            truth = read_velocity(sample, predictor.survey)
            scores.append(float(mape(model, truth)))
            held.append(float(((truth >= low) & (truth <= high)).mean()))
    return np.array(scores), np.array(held)


def row(title: str, predictor: Predictor, folder: Path, level: float = 0.0, kind: str = "white") -> str:
    scores, held = judged(predictor, folder, level, kind)
    error = scores.std(ddof=1) / len(scores) ** 0.5
    return f"| {title} | {100 * scores.mean():.2f} +- {100 * error:.2f} | {100 * held.mean():.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", default="pretrained")
    parser.add_argument("--samples", type=Path, required=True, help="folder that the samples lie in, or go to")
    options = parser.parse_args()
    predictor = jax_inversion.load(options.ckpt, ["--infer.batch-size", str(BATCH)])
    print(f"| {COUNT} samples each | MAPE (%) | within intervals of {100 * LEVEL:g} % (%) |\n|---|--:|--:|", flush=True)
    for preset in PRESETS:
        folder = options.samples / preset
        simulate(folder, COUNT, seed=SEED, geology=preset, simulator=SimulatorConfig(spacing_m=5.0))
        print(row(preset, predictor, folder), flush=True)
    for kind in KINDS:
        for level in LEVELS:
            print(row(f"marine, {name(level, kind)}", predictor, options.samples / "marine", level, kind), flush=True)


if __name__ == "__main__":
    main()
