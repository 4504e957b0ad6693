"""Front door: train an ensemble from a preset, or go on with a run that was interrupted."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from . import config as configs
from . import plots, training
from .cli import front_door
from .config import Config
from .data.folders import find_samples
from .data.store import Store, pack
from .errors import UserError

SKIP_BAD = "--data.skip-bad true"


def train(
    config: Config,
    data: Path | None = None,
    run: Path | None = None,
    on_checkpoint: Callable[[], None] | None = None,
) -> Path:
    """Train on the samples below ``data`` (default: ``data.root`` of the config) and return the run's folder.

    A run that exists is gone on with. ``on_checkpoint()`` is called after each save. ``UserError`` if the run was begun
    with other settings or samples, and if samples are bad.
    """
    run = Path(run or Path("runs") / config.model.name)
    data = data or config.data.root
    if not data:
        raise UserError("no data: give --data DIR, or root in the config's [data] section")
    store = open_store(config, Path(data), run)
    configs.save(config, run / "config.toml")
    samples = training.split(store, config.data.validation_fraction, config.data.split_seed)
    base = training.fit_base(config, samples)

    def draw(truth: np.ndarray, prediction: np.ndarray, name: str) -> bytes:
        return plots.png(plots.comparison(truth, prediction, store.survey, title=name))

    training.fit(config, samples, run, base, draw, on_checkpoint)
    return run


def open_store(config: Config, data: Path, run: Path, hint: str = SKIP_BAD) -> Store:
    """The packed training samples of a run; packed now where they are not yet.

    ``hint``: what the user would write where this was called from to have bad samples left out.
    ``UserError``, before anything is written, if the run was begun with other settings or samples.
    """
    found = find_samples(data, "train", config.survey)
    training.check_run(run, config, [sample.id for sample in found])
    return pack(
        found,
        config.survey,
        run / "store" / "train",
        config.preprocess,
        skip_bad=config.data.skip_bad,
        hint=hint,
    )


@front_door
def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m jax_inversion.train",
        description="Train an ensemble of networks; the same command goes on with a run that was interrupted.",
        epilog="Any setting of the preset is changed as in --train.batch-size 2 or --model.channels 8,16.",
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=Path, required=True, help="preset, such as configs/quickstart.toml")
    parser.add_argument("--data", type=Path, help="folder with train/, or of samples (default: the preset's data.root)")
    parser.add_argument("--run", type=Path, help="folder of the run (default: runs/<name of the preset>)")
    arguments, overrides = parser.parse_known_args(argv)
    config = configs.load(arguments.config, overrides)
    run = train(config, arguments.data, arguments.run or Path("runs") / arguments.config.stem)
    print(f"{run}: trained; best checkpoint {run}/best; next: python -m jax_inversion.infer --ckpt {run}")


if __name__ == "__main__":
    sys.exit(main())
