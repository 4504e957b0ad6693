"""What each choice of the network and its training is worth: one member, one change a row, a table as Markdown.

    python -m benchmarks.ablation --out DIR [--rows NAME ...] [--train-count 2000] [--epochs 3]

The first row is the quickstart's first group without ``residual``. All rows are trained by the real trainer on the same
samples and split and correct the same kernel regression, all made in DIR once; also judged on a geology that none was
trained on, on cells of half the size. Scores are of the last weights on 5 m cells, without the mirror image's average.
Rows that DIR/ablation.json has are not run again; one that was cut short begins anew.
"""

import argparse
import dataclasses
import json
import shutil
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import variants
from jax_inversion import config as configs
from jax_inversion import training
from jax_inversion.config import Config
from jax_inversion.data.store import Store
from jax_inversion.files import save_array, write_aside
from jax_inversion.losses import mape
from jax_inversion.resampling import resize
from jax_inversion.runs import Run
from jax_inversion.sections import EnsembleConfig
from jax_inversion.simulation import simulated_store
from jax_inversion.train import open_store
from jax_inversion.training.base import corrected, fit_inputs, predicted
from jax_inversion.training.loop import Training
from jax_inversion.training.samples import BASE, BASE_GATHERS
from jax_inversion.training.validation import validate

ALL = ["--model.residual=false", "--data.validation-fraction=0.08", "--track.wandb=off"]
OTHER, COUNT, SEED, CELLS_M = "varied", 40, 901, 5.0  # the geology that is never trained on
TIMED = 20  # steps
ROWS: dict[str, str | type[variants.Variant]] = {  # settings, or a network that no setting asks for
    "nothing": "",
    "seed-1": "--train.seed 1",
    "seed-2": "--train.seed 2",
    "arcsinh": "--preprocess.whiten false --preprocess.arcsinh 10",  # of the network alone: the regression's stays
    "arcsinh-seed-1": "--preprocess.whiten false --preprocess.arcsinh 10 --train.seed 1",
    "arcsinh-no-base": "--preprocess.whiten false --preprocess.arcsinh 10 --base.regression none",
    "low-pass-45": "--preprocess.low-pass-hz 45",
    "no-moveout": variants.VerticalConfig,
    "own-moveout": variants.ProfiledConfig,  # the training set's velocities instead of a reference
    "depth-head": variants.InDepthConfig,
    "adamw-1e-3": "--train.optimiser adamw --train.learning-rate 1e-3",
    "adamw-2e-3": "--train.optimiser adamw --train.learning-rate 2e-3",
    "adamw-4e-3": "--train.optimiser adamw --train.learning-rate 4e-3",
    "time-loss": "--loss.time 0.3",
    "no-ema": "--train.ema-decay 0",
    "columns-60": "--model.columns 60",
    "no-base": "--base.regression none",
    "no-noise": "--augment.noise 0",
    "no-mirror": "--augment.mirror 0",
    "residual": "--model.residual true",
    "tokens-8ms": "--model.token-s 0.008",
    "finish": variants.FinishedConfig,
    "tokens-4ms": "--model.token-s 0.004 --model.input-s 0.004 --model.head-s 0.004",
}


@dataclass(frozen=True)
class Shared:
    """What all rows have in common. ``grids`` are what the base predicts for ``other``, by its name."""

    out: Path
    config: Config
    samples: training.Samples
    base: training.Base
    other: Store
    grids: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, config: Config, out: Path) -> "Shared":
        store = open_store(config, None, Run(out))
        samples = training.split(store, config.data.validation_fraction, config.data.split_seed)
        base = training.fit_base(config, samples, out / "base.npz")
        simulator = dataclasses.replace(config.simulator, spacing_m=CELLS_M)
        how: dict[str, Any] = {"geology": OTHER, "seed": SEED, "simulator": simulator}
        other = simulated_store(out / OTHER, COUNT, store.survey, store.models.shape[1:], **how)
        return cls(out, config, samples, base, other, predicted(config, base, other, store.std))

    def gathers(self, part: str, grids: np.ndarray) -> Any:
        """Those that the simulator makes of the base's models for a ``part`` of the samples."""
        survey, models = self.samples.store.survey, self.out / f"{part}_base.npy"
        with write_aside(models) as aside:
            save_array(aside, training.possible(grids, survey))
        how: dict[str, Any] = {"simulator": self.config.simulator, "given": models}
        return simulated_store(models.with_suffix(""), len(grids), survey, grids.shape[1:], **how).gathers

    def trained(self, name: str, config: Config) -> dict[str, Any]:
        """Train and judge a row; ``Diverged`` if it does not converge."""
        run = self.out / "rows" / name
        shutil.rmtree(run, ignore_errors=True)
        seen = fit_inputs(config, self.samples)  # by the network, whatever the regression was fitted to
        grids = {base: self.base.grids[base] for base in corrected(config)}
        base = dataclasses.replace(self.base, grids=grids, arrays={**self.base.arrays, **seen.arrays})

        def gathers_of(_name: str, grids: np.ndarray, *_: Any) -> Any:
            return self.gathers("train", grids)

        found = Training(config, self.samples, run, base, None, None, None, None, gathers_of)
        found.go()
        epochs = [line["validation/mape"] for line in training.read_metrics(run) if "validation/mape" in line]
        extra = {BASE + base: self.grids[base] for base in corrected(config)}
        extra |= {BASE_GATHERS + base: self.gathers(OTHER, self.grids[base]) for base in training.simulated_for(config)}
        rows = np.arange(len(self.other))
        scores, _ = validate(found.parts.validate, found.state, self.other, rows, config.train.batch_size, extra)
        return {"validation": epochs, OTHER: scores.mape, "cpu_s": step_cpu_s(found)}


def step_cpu_s(found: Training) -> float:
    """Median CPU seconds of a step; the state is used up."""
    (_, batch), state, used = found.feed.take(), found.state, [time.process_time()]
    for _ in range(TIMED):
        state, metrics = found.parts.step(state, batch)
        jax.block_until_ready(metrics)
        used.append(time.process_time())
    return statistics.median(np.diff(used))


def changed(config: Config, change: str | type[variants.Variant]) -> Config:
    """``config`` with a row's change."""
    if not isinstance(change, str):
        return dataclasses.replace(config, model=change(**vars(config.model)))
    return configs.from_dict(configs.with_overrides(configs.as_dict(config), change.split()), change)


def line(cells: Mapping[str, Any], name: str, change: str) -> str:
    """A row of the table."""
    if "failed" in cells:
        return f"| {name} | {change} | {cells['failed']} |"
    epochs = ", ".join(f"{100 * score:.2f}" for score in cells["validation"])
    cpu_s = f"{cells['cpu_s']:.3f}" if "cpu_s" in cells else ""
    return f"| {name} | {change} | {epochs} | {100 * cells[OTHER]:.2f} | {cpu_s} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of samples, runs and results")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME", help=", ".join(ROWS))
    parser.add_argument("--train-count", type=int, default=2000, help="samples, 8 %% of them to validate on")
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    made = {"train_count": options.train_count, "epochs": options.epochs}
    results = options.out / "ablation.json"
    found = json.loads(results.read_text()) if results.exists() else {"made": made, "rows": {}}
    if found["made"] != made:
        parser.error(f"{results} is of {found['made']}, not {made}: give another --out")
    own = [f"--simulate.train-count={options.train_count}", f"--train.epochs={options.epochs}"]
    plain = dataclasses.replace(configs.load("quickstart", [*ALL, *own]), ensemble=EnsembleConfig(1))
    shared = Shared.of(plain, options.out)
    kernel, grids = plain.base.regression, shared.grids[plain.base.regression]
    alone = mape(resize(grids, shared.other.models.shape[1:]), np.asarray(shared.other.models))
    print(f"{len(shared.samples.train)} samples to train on, {len(shared.samples.validation)} to validate on, {made}\n")
    print(f"| --rows | changed | validation MAPE (%) after each epoch | {COUNT} {OTHER} (%) | CPU s a step |")
    print("|---|---|--:|--:|--:|")
    print(line({"validation": [shared.base.mape[kernel]], OTHER: alone}, f"(the {kernel} regression alone)", ""))
    for name in options.rows:
        change = ROWS[name]
        if name not in found["rows"]:
            try:
                found["rows"][name] = shared.trained(name, changed(plain, change))
            except training.Diverged as error:
                found["rows"][name] = {"failed": str(error)}
            with write_aside(results) as aside:
                aside.write_text(json.dumps(found, indent=1) + "\n")
        words = f"`{change}`" if isinstance(change, str) else f"`variants.{change.__name__}`"
        print(line(found["rows"][name], name, words if change else ""), flush=True)


if __name__ == "__main__":
    main()
