"""Draws a figure of random models of every geology preset: ``python benchmarks/gallery.py --out gallery.png``."""

import argparse
from pathlib import Path

import jax
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from jax_inversion.geology import PRESETS, blend, draw
from jax_inversion.survey import CHALLENGE, Survey


def rows(survey: Survey, columns: int, seed: int) -> dict[str, list[np.ndarray]]:
    """``columns`` models (x, depth) of each preset, and as many blends of two marine models."""
    keys = jax.random.split(jax.random.key(seed), columns)
    drawn = {name: [np.asarray(draw(key, survey, name)) for key in keys] for name in PRESETS}
    marine = drawn["marine"]
    pairs = [np.stack([marine[k], marine[(k + 1) % columns]]) for k in range(columns)]
    return drawn | {"blend": [np.asarray(blend(key, pair)) for key, pair in zip(keys, pairs, strict=True)]}


def draw_gallery(survey: Survey, columns: int, seed: int, out: Path) -> None:
    """Writes the figure: a row for each preset, depth downwards in metres, one colour scale in km/s."""
    models = rows(survey, columns, seed)
    figure, axes = plt.subplots(
        len(models), columns, figsize=(1.9 * columns, 3.2 * len(models)), squeeze=False, sharex=True, sharey=True
    )
    extent = (0.0, survey.nx * survey.spacing_m, survey.nz * survey.spacing_m, 0.0)
    for row, (name, drawn) in zip(axes, models.items(), strict=True):
        for axis, velocity in zip(row, drawn, strict=True):
            image = axis.imshow(
                velocity.T, extent=extent, aspect="auto", cmap="turbo", vmin=survey.v_min_km_s, vmax=survey.v_max_km_s
            )
        row[0].set_ylabel(f"{name}\ndepth (m)")
    for axis in axes[-1]:
        axis.set_xlabel("x (m)")
    figure.colorbar(image, ax=axes, label="velocity (km/s)", fraction=0.02, pad=0.02)
    figure.savefig(out, dpi=70, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    parser.add_argument("--columns", type=int, default=8, help="models of each preset (default 8)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random keys (default 0)")
    options = parser.parse_args()
    draw_gallery(CHALLENGE, options.columns, options.seed, options.out)
    print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
