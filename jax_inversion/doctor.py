"""``python -m jax_inversion.doctor``: what is installed and set up here, and what to do about what is not."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax

from . import __version__
from .caches import cache_folder
from .cli import DoorParser, front_door
from .files import size_text
from .training import model_file

LIBRARIES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "scipy")
EXTRAS = {"wandb": "wandb", "modal": "modal", "segy": "segyio", "hdf5": "h5py", "xarray": "xarray"}
_LITTLE_GB = 5


def report() -> Iterator[tuple[str, str]]:
    """(what was looked at, what was found and, where something may be done, what) in order."""
    yield "package", f"jax_inversion {__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield "libraries", ", ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)
    yield "devices", _devices()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield "cores", f"{cores} for simulating, refining and reading"
    free = shutil.disk_usage(Path.cwd()).free
    yield "disk", f"{size_text(free)} free here" + _suggest(free < _LITTLE_GB * 1e9, "the quickstart needs 2 GB")
    yield "cache", _cache()
    shipped = model_file.SHIPPED
    yield "weights", size_text(shipped.stat().st_size) if shipped.is_file() else "none came with this installation"
    for extra, module in EXTRAS.items():
        found = importlib.util.find_spec(module) is not None
        missing = f'not installed: pip install "jax-inversion[{extra}]"'
        yield extra, _STATES.get(extra, _installed)() if found else missing


def _devices() -> str:
    found = ", ".join(f"{device.platform} {device.device_kind}" for device in jax.devices())
    card = shutil.which("nvidia-smi") is not None and jax.default_backend() == "cpu"
    return found + _suggest(card, 'a card is there but not used: pip install "jax-inversion[cuda]"')


def _cache() -> str:
    folder = cache_folder()
    kept = list(folder.glob("background-*.npz")) if folder.is_dir() else []
    place = folder if folder.exists() else folder.parent
    writable = os.access(place, os.W_OK) or not place.exists()
    text = f"{folder}: {len(kept)} background responses"
    return text + _suggest(not writable, "not writable: set JAX_INVERSION_CACHE to a folder that is")


def _wandb() -> str:
    if os.environ.get("WANDB_API_KEY") or (Path.home() / ".netrc").is_file():
        return "installed; a key is set, so training goes online"
    return "installed; no key, so training logs offline (wandb login, or WANDB_API_KEY, to go online)"


def _modal() -> str:
    tokens = os.environ.get("MODAL_TOKEN_ID") or (Path.home() / ".modal.toml").is_file()
    return "installed; a token is set" if tokens else "installed; no token: modal setup"


def _installed() -> str:
    return "installed"


_STATES = {"wandb": _wandb, "modal": _modal}


def _suggest(when: bool, what: str) -> str:
    return f"  <- {what}" if when else ""


def parser() -> DoorParser:
    """Of the command line."""
    return DoorParser("doctor", description="What is installed and set up here, a line each, and what to do about it.")


@front_door
def main(argv: Sequence[str]) -> None:
    parser().read(argv)
    for name, found in report():
        print(f"{name:<10} {found}")


if __name__ == "__main__":
    raise SystemExit(main())
