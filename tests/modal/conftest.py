"""A tiny volume, and the real `modal` client and containers, served by the stand-in beside the checkout."""

import importlib.metadata
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tiny_run import SURVEY

from jax_inversion.data.folders import MODEL_FILE, write_sample

REPO = Path(__file__).resolve().parents[2]
TOOLS = REPO.parent / "shared" / "tools"
VOLUME = "speed-structure-vol"
PINNED = "1.6."
ATTEMPTS = 6  # containers of a function that may end without a result before that is its failure


@pytest.fixture(scope="session")
def local_modal() -> ModuleType:
    """The stand-in; the test is skipped where it or the Modal it was written for is missing."""
    if not (TOOLS / "local_modal.py").is_file():
        pytest.skip(f"no stand-in for Modal at {TOOLS}")
    if not (found := importlib.metadata.version("modal")).startswith(PINNED):
        pytest.skip(f"the stand-in knows modal {PINNED}x, this is {found}")
    sys.path.insert(0, str(TOOLS))
    try:
        import local_modal

        local_modal.LocalModal = insist(local_modal)
        return local_modal
    finally:
        sys.path.remove(str(TOOLS))


def insist(module: ModuleType) -> type:
    """The stand-in, but a function whose containers end again and again without taking an input fails: the stand-in
    would start another for ever. What they printed is in the command's output.
    """

    class Insistent(module.LocalModal):
        async def _schedule(self, fid: str) -> None:
            of_function = [task for task in self.tasks.values() if task.function_id == fid]
            ended = sum(task.stopped_for == "exit" for task in of_function)
            if ended > ATTEMPTS + sum(attempt[0] == self.functions[fid].function_name for attempt in self.attempts):
                text = f"{ended} containers ended without a result"
                for put in [*self.queues[fid]]:
                    await self._finish(
                        put, module.R(status=module.R.GENERIC_STATUS_FAILURE, exception=text), final=True
                    )
                self.queues[fid].clear()
                return
            await super()._schedule(fid)

    return Insistent


class Cloud:
    """One account with its volume. ``run`` gives what the stand-in saw, and the commands' exit codes and output."""

    def __init__(self, module: ModuleType, root: Path, cache: Path):
        self.module, self.root, self.volume = module, root, root / "volumes" / VOLUME
        self.env = {
            "SPEED_ALLOW_CPU": "1",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            "JAX_COMPILATION_CACHE_DIR": str(cache / "jax"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            "MPLCONFIGDIR": str(cache / "matplotlib"),
        }
        self.volume.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(__file__).parent / "tiny.toml", self.volume)

    def run(self, *commands: str, **options: Any) -> tuple[Any, list[tuple[int, str]]]:
        """``modal <command>`` one after the other."""
        words = [command.split() for command in commands]
        return self.module.run_modal(
            *words, root=self.root, cwd=REPO, quiet=True, env=self.env, vol_env="SPEED_VOL", **options
        )

    def fill(self, folder: str = "", train: int = 12) -> None:
        """Below ``folder`` of the volume: ``train`` samples in train/, 4 in test/, whose models are in truth/."""
        rng, place = np.random.default_rng(0), self.volume / folder
        for k in range(train + 4):
            velocity = np.full(SURVEY.model_shape, 1.5)
            velocity[:, rng.integers(4, 16) :] = rng.uniform(2.0, 4.0)
            gathers = 0.01 * rng.standard_normal(SURVEY.gathers_shape)
            if k < train:
                write_sample(place / "train", f"sample{k:02d}", SURVEY, gathers, velocity)
            else:
                made = write_sample(place / "test", f"sample{k:02d}", SURVEY, gathers, None)
                truth = place / "truth" / made.name
                truth.mkdir(parents=True)
                np.save(truth / MODEL_FILE, velocity)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all containers of these tests keep what they compiled."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def cloud(local_modal: ModuleType, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    """An account whose volume has train/, test/ and truth/ of a few samples."""
    cloud = Cloud(local_modal, tmp_path_factory.mktemp("cloud"), cache)
    cloud.fill()
    return cloud


@pytest.fixture
def empty_cloud(local_modal: ModuleType, cache: Path, tmp_path: Path) -> Cloud:
    """An account without samples."""
    return Cloud(local_modal, tmp_path, cache)
