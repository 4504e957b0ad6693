"""What refining does for gathers with noise: MAPE before and after, as Markdown.

    python benchmarks/refined_noise.py --ckpt pretrained --data DIR --count 6

Noise as in ``noisy.py``, of 3 and 10 %, in what the networks see and what is refined alike.
"""

import itertools

import numpy as np
from named import named
from noisy import KINDS, LEVELS, name, noise

from jax_inversion.data.folders import read_gathers, read_velocity
from jax_inversion.inference.predictor import Predictor
from jax_inversion.metrics import mape
from jax_inversion.refinement import refine
from jax_inversion.refinement.learn import learnt
from jax_inversion.refinement.submission import background_of, setting_of


def row(predictor: Predictor, gathers: np.ndarray, truths: list[np.ndarray], level: float, kind: str) -> str:
    setting, prior = setting_of(predictor.config, predictor.restored.survey), learnt(predictor)
    noisy = gathers + noise(predictor, gathers, level, kind)
    starts, background = predictor.predict(noisy).velocity_km_s, background_of(predictor, setting)
    found = [refine(start, each, background, prior, setting) for start, each in zip(starts, noisy, strict=True)]
    before = np.array([mape(start, truth) for start, truth in zip(starts, truths, strict=True)])
    after = np.array([mape(each.velocity_km_s, truth) for each, truth in zip(found, truths, strict=True)])
    ratio, kept = after / before, sum(each.scale == 0 for each in found)
    return (
        f"| {name(level, kind)} | {100 * before.mean():.2f} | {100 * after.mean():.2f} "
        f"| {after.mean() / before.mean():.2f} | {ratio.max():.2f} | {kept} |"
    )


def main() -> None:
    predictor, folders = named(__doc__, count=6)
    samples = list(itertools.chain(*folders.values()))
    gathers = np.concatenate([predictor.decimated(read_gathers(sample, predictor.survey)) for sample in samples])
    truths = [read_velocity(sample, predictor.survey) for sample in samples]
    print(f"| noise, {len(samples)} samples | before | after | ratio | worst | came back as it was |")
    print("|---|" + "--:|" * 5, flush=True)
    for level, kind in [(0.0, KINDS[0]), *((level, kind) for kind in KINDS for level in LEVELS[1:])]:
        print(row(predictor, gathers, truths, level, kind), flush=True)


if __name__ == "__main__":
    main()
