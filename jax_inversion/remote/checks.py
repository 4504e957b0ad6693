"""What can be known to be wrong before a machine with a card, or a second one at all, is started."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from .. import config as configs
from ..errors import UserError
from ..geology import shares
from .places import checkpoint, checkpoint_names, data_folder, inside, run_folder, run_name, writable
from .settings import preset_here, settings, words
from .volume import MOUNT

NO_DATA = (
    "no data: give --data DIR, or simulate.train-count and simulate.test-count above 0: "
    '--overrides "simulate.train-count=1000 simulate.test-count=100"'
)


def before_training(root: Any, config: str, run: str, overrides: str, data: str) -> None:
    """``UserError`` where ``train`` would end with one: settings, samples, the run's folder."""
    run = run_name(run, config)
    settings(root, config, overrides)
    data_folder(root, data, run, "train")
    writable(root / "models" / run)


def before_resuming(root: Any, run: str, overrides: str, data: str) -> None:
    """The same for a run that must be there."""
    before_training(root, str(run_folder(root, run) / "config.toml"), run, overrides, data)


def before_predicting(
    root: Any,
    run: str,
    data: str,
    overrides: str,
    checkpoint_name: str = "best",
    sections: Sequence[str] = ("infer",),
) -> None:
    """``UserError`` where a submission cannot be made: the run, its checkpoint, samples, settings, the folder."""
    known, name = checkpoint_names(run_folder(root, run)), checkpoint(checkpoint_name)
    if name not in known:
        shown = [other for other in known if not other.startswith("step_")]
        raise UserError(f"{run} has no checkpoint {name!r}; it has {', '.join(shown) or 'none yet'}")
    infer_words(overrides, sections)
    data_folder(root, data, run, "test")
    writable(root / "results" / run)


def before_pipeline(root: Any, config: str, run: str, overrides: str, data: str, simulated: bool) -> None:
    """``UserError`` where any stage of the pipeline would end with one."""
    run = run_name(run, config)
    chosen = settings(root, config, overrides)
    if simulated and data:
        raise UserError("give --data or --simulated, not both")
    if simulated and not (chosen.simulate.train_count and chosen.simulate.test_count):
        raise UserError(NO_DATA)
    for split in () if simulated else ("train", "test"):
        data_folder(root, data, run, split)
    for folder in ("models", "results"):
        writable(root / folder / run)


def before_simulating(root: Any, options: Mapping[str, Any], shard: int, config: str, overrides: str) -> None:
    """``UserError`` where the shards of a set would end with one: number of samples, geology, settings, folder."""
    if options["count"] < 1 or shard < 1:
        raise UserError(f"--count {options['count']} --shard {shard}: both must be at least 1")
    shares(options["geology"])
    if others := sorted(set(configs.parse_overrides(words(overrides))) - {"survey", "simulator"}):
        raise UserError(f"{others[0]}.* has no effect on samples; --overrides takes survey.* and simulator.* here")
    settings(root, config, overrides)
    writable(inside(root, options["out"], "out"))


BEFORE: dict[str, Callable[..., None]] = {
    "train": before_training,
    "train_sota_model": before_training,
    "resume": before_resuming,
    "generate_submission": before_predicting,
    "generate_submission_from_checkpoint": before_predicting,
}


def before(stage: str, root: Any, options: Mapping[str, Any]) -> None:
    """``UserError`` where the stage, called with ``options``, would end with one, as far as can be seen."""
    BEFORE[stage](root, **options)


def offline(options: Mapping[str, Any]) -> None:
    """``UserError`` where the options of a command are wrong whatever lies on the volume."""
    volume = PurePosixPath(MOUNT)
    if options.get("run"):
        run_name(options["run"])
    for name in ("data", "out", "truth", "submission", "archive"):
        if options.get(name):
            inside(volume, options[name], name)
    if "checkpoint_name" in options:
        checkpoint(options["checkpoint_name"])
    overrides = words(options.get("overrides", ""))
    configs.parse_overrides(overrides)
    if overrides and preset_here(options.get("config", "")):
        settings(volume, options["config"], options["overrides"])


def infer_words(overrides: str, sections: Sequence[str] = ("infer",)) -> list[str]:
    """The overrides of a command that predicts: those of these sections, for all else is fixed by the checkpoint."""
    given = words(overrides)
    changes = configs.parse_overrides(given)
    if others := [section for section in changes if section not in sections]:
        known = " and ".join(f"{section}.*" for section in sections)
        raise UserError(f"{others[0]}.* is fixed by the checkpoint; --overrides takes {known} here")
    configs.from_dict(changes, "--overrides")
    return given
