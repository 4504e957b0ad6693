"""``python -m jax_inversion.train``: train an ensemble from a preset, or go on with a run that was interrupted."""

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import config as configs
from . import geology, training
from .cli import SECTIONS, DoorParser, front_door
from .config import Config
from .data.joined import join
from .data.rows import Store
from .errors import UserError
from .files import save_array, write_aside
from .runs import Run
from .simulation import simulated_store
from .surveys import refuse_other
from .training import model_file
from .training.checkpoints import Restored
from .training.preparation import SKIP_BAD, pack_store, share_store
from .training.samples import coarse_shape

SLOWER = 5


def train(
    config: Config,
    data: Path | None = None,
    run: Path | None = None,
    on_checkpoint: Callable[[], None] | None = None,
    hint: str = SKIP_BAD,
) -> Path:
    """Train on the samples below ``data`` (default: ``data.root`` of the config) and return the run's folder.

    A run that exists is gone on with. ``on_checkpoint()`` is called after each save. ``hint``: what the user would
    write where this was called from to have bad samples left out. ``UserError`` if the run was begun with other
    settings or samples, if samples are bad, and if another process works in the run.
    """
    place = Run(Path(run or Path("runs") / config.model.name))
    data = data or (Path(config.data.root) if config.data.root else None)
    with place.lock():
        start = model_file.restore(config.train.start) if config.train.start else None
        if start is not None:
            _check_same_survey(config, start)
        store = open_store(config, data, place, hint)
        if data is not None:
            config = dataclasses.replace(config, data=dataclasses.replace(config.data, root=str(data)))
        configs.save(config, place.config)
        samples = training.split(store, config.data.validation_fraction, config.data.split_seed)
        if start is not None:  # the unit of amplitude that its networks know
            samples = dataclasses.replace(samples, store=dataclasses.replace(store, std=start.std))
        base = training.fit_base(config, samples, place.base, start)

        def draw(truth: np.ndarray, prediction: np.ndarray, name: str) -> bytes:
            from . import plots  # matplotlib takes a second to import

            return plots.png(plots.comparison(truth, prediction, store.survey.on_grid(truth.shape), title=name))

        def fresh(number: int, tell: Callable[[], None]) -> Store:
            return _simulated(config, place, place.fresh(number), number, tell)

        def gathers_of(name: str, grids: np.ndarray, number: int, tell: Callable[[], None] | None) -> Any:
            return _base_gathers(config, place.base_gathers(name, number), grids, tell)

        training.fit(config, samples, place.path, base, draw, on_checkpoint, start, fresh, gathers_of)
        for folder in map(place.base_gathers, training.simulated_for(config)):  # nobody reads them again
            shutil.rmtree(folder, ignore_errors=True)
            folder.with_suffix(".npy").unlink(missing_ok=True)
    return place.path


def started(spec: str, preset: Path | None, has_data: bool, overrides: Sequence[str] = ()) -> Config:
    """The settings of a run that starts from the weights ``spec``: the preset's, or those that the weights were trained
    with, the learning rate a ``SLOWER``th and a fifth as many epochs, on folders where there are data; and overrides.
    """
    if preset is None:
        values = configs.as_dict(model_file.restore(spec).config)
        values["train"] |= {
            "learning_rate": values["train"]["learning_rate"] / SLOWER,
            "epochs": max(1, round(values["train"]["epochs"] / 5)),
            "checkpoint_every": 1,
        }
        if has_data:
            values["data"]["source"] = "folders"
    else:
        values = configs.as_dict(configs.load(preset))
    values["train"]["start"] = str(spec)
    return configs.from_dict(configs.with_overrides(values, overrides), f"{spec} and the command line")


def _check_same_survey(config: Config, start: Restored) -> None:
    """``UserError`` where weights to start from know another survey, before samples are packed or simulated."""
    if other := start.survey.differences(config.survey.with_interval(config.preprocess.dt_s)):
        raise UserError(
            f"{config.train.start}: its networks know another survey; what differs is {', '.join(other)}. "
            "Give that survey, or train without --from"
        )


def open_store(config: Config, data: Path | None, run: Run | Path, hint: str = SKIP_BAD) -> Store:
    """The packed training samples of a run: of the folders below ``data``, simulated as the config says, both, or those
    that the run ``data`` has.

    ``hint``: what the user would write where this was called from to have bad samples left out.
    """
    place, source = run if isinstance(run, Run) else Run(run), config.data.source
    if source == "simulated":
        return _simulated(config, place, place.store)
    if data is None:
        raise UserError("no data: give --data DIR, or root in the config's [data] section")
    if source == "store":
        return share_store(config, data, place)
    refuse_other(data, config.survey, "the preset's [survey]")
    own = pack_store(config, data, place, hint)
    return own if source == "folders" else join(own, _simulated(config, place, place.simulated))


def _simulated(
    config: Config, run: Run, folder: Path, number: int = 0, tell: Callable[[], None] | None = None
) -> Store:
    """As many samples as the config says, after ``number`` times as many others."""
    section = config.simulate
    if not section.train_count:
        raise UserError(f"data.source is {config.data.source!r}, but simulate.train_count is 0; how many samples?")
    survey = config.survey.with_interval(config.preprocess.dt_s)
    shape, count = coarse_shape(config.survey, config.train.spacing_m), section.train_count
    how = {"geology": section.geology, "seed": section.seed, "simulator": config.simulator, "workers": section.workers}
    geology.shares(section.geology)  # of an unknown one each worker would die by itself
    with run.lock():
        training.check_run(run.path, config)  # or the samples of a run that was begun would be replaced
        return simulated_store(folder, count, survey, shape, **how, first=number * count, tell=tell)


def _base_gathers(config: Config, folder: Path, grids: np.ndarray, tell: Callable[[], None] | None) -> Any:
    """Gathers (sample, shot, time, receiver) of a baseline's models (sample, gx, gz), packed in ``folder``."""
    survey, models = config.survey.with_interval(config.preprocess.dt_s), folder.with_suffix(".npy")
    how = {"simulator": config.simulator, "workers": config.simulate.workers, "given": models, "tell": tell}
    with write_aside(models) as aside:
        save_array(aside, training.possible(grids, survey))
    return simulated_store(folder, len(grids), survey, grids.shape[1:], **how).gathers


def parser() -> DoorParser:
    """Of the command line."""
    door = DoorParser(
        "train",
        description="Train an ensemble of networks; the same command goes on with a run that was interrupted.",
        epilog="Any setting of the preset is changed as in --train.batch-size 2 or --model.channels 8,16.",
        sections=tuple(SECTIONS),
    )
    door.add_argument("--config", type=Path, help="preset, such as configs/quickstart.toml")
    door.add_argument(
        "--from", dest="start", metavar="CKPT", help="weights to start from: pretrained, a model file or run"
    )
    door.add_argument("--data", type=Path, help="folder with train/, or of samples; with data.source store a run")
    door.add_argument("--run", type=Path, help="folder of the run (default: runs/<name of the preset>)")
    return door


@front_door
def main(argv: Sequence[str]) -> None:
    arguments, overrides = parser().read(argv)
    if arguments.start is not None:
        config = started(arguments.start, arguments.config, arguments.data is not None, overrides)
        name = f"{Path(arguments.start).stem}_tuned"
    elif arguments.config is not None:
        config, name = configs.load(arguments.config, overrides), arguments.config.stem
    else:
        raise UserError("give --config FILE, a preset, or --from CKPT, weights to start from")
    run = train(config, arguments.data, arguments.run or Path("runs") / name)
    print(f"{run}: trained; best checkpoint {run}/best; next: python -m jax_inversion.infer --ckpt {run}")


if __name__ == "__main__":
    raise SystemExit(main())
