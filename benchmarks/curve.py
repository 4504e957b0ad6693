"""Where more data stop to help: ``python benchmarks/curve.py --run runs/workstation --out curve.png``.

Validation MAPE of a run's ensemble over the samples that it has seen, beside that of kernel regression over the samples
that it is fitted to, from the run's own store and on the same validation samples. Prints both as Markdown.
"""

import argparse
import dataclasses
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from jax_inversion.inference.predictor import Predictor
from jax_inversion.inference.stored import stored_samples
from jax_inversion.training import read_metrics
from jax_inversion.training.base import fit_base


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fitted", default="250,500,1000,2000,4000", help="samples that the regression is fitted to")
    options = parser.parse_args()
    predictor = Predictor.load(options.run)
    config, samples = predictor.config, stored_samples(predictor)
    size = config.train.batch_size
    seen = [
        (row["step"] * size, 100 * row["validation/mape"])
        for row in read_metrics(options.run)
        if "validation/mape" in row
    ]
    fitted = []
    for count in map(int, options.fitted.split(",")):
        base = dataclasses.replace(config.base, regression="kernel", most_samples=count)
        found = fit_base(dataclasses.replace(config, base=base), samples)
        fitted.append((min(count, len(samples.train)), 100 * found.mape["kernel"]))
    print("| samples | what | validation MAPE (%) |\n|--:|---|--:|")
    for name, rows in (("kernel regression, fitted to so many", fitted), ("ensemble, after having seen so many", seen)):
        for count, mape in rows:
            print(f"| {count} | {name} | {mape:.2f} |")
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    axes.plot(*zip(*fitted, strict=True), "s-", label="kernel regression, over the samples it is fitted to")
    axes.plot(*zip(*seen, strict=True), "o-", label="ensemble, over the samples it has seen")
    axes.axvline(len(samples.train), color="0.7", lw=1, label="distinct samples there are")
    axes.set(xscale="log", xlabel="samples", ylabel="validation MAPE (%)")
    axes.legend()
    figure.savefig(options.out, dpi=120)


if __name__ == "__main__":
    main()
