"""Every test runs on the CPU with the shape checks, strict dtype promotion and strict rank promotion on."""

import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # compiling is most of what these tests do
# Compiling them takes a third less without the newer of XLA's two generators of fused loops. Later XLAs have that one
# alone, and end the process at a flag that they do not know.
if version("jaxlib").startswith("0.10."):
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
# What one process compiled serves the others, those that tests start among them, and the next run of the tests.
_CACHE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), ".pytest_cache")
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.join(_CACHE, "jax"))
os.environ.setdefault("JAX_INVERSION_CACHE", os.path.join(_CACHE, "backgrounds"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")

import jax  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
settings.register_profile("project", deadline=None, max_examples=25)
settings.load_profile("project")

REPO = Path(__file__).resolve().parent.parent
REFERENCE = REPO.parent / "shared" / "data" / "reference"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The file that takes longest goes first, or one worker would still be at it when the other has nothing left."""
    items.sort(key=lambda item: item.path.name != "test_modal_jobs.py")  # stable


@pytest.fixture(scope="session")
def reference() -> Path:
    """The folder of Devito-made samples that lies beside the checkout; the test is skipped where it is missing."""
    if not REFERENCE.is_dir():
        pytest.skip(f"no reference samples at {REFERENCE}")
    return REFERENCE


@pytest.fixture(scope="module")
def few_windows() -> Iterator[None]:
    """Two windows in depth and the whole grid, in the place of five: every one is a loop, compiled twice."""
    from jax_inversion.physics import windows  # after the shape checks are in place

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "_WINDOWS", 3)
        yield


@pytest.fixture(scope="module")
def plain_figures() -> Iterator[None]:
    """Figures whose parts may overlap: finding places for them takes two thirds of the time of drawing."""
    from jax_inversion.plots import canvas

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canvas, "Figure", lambda **how: Figure(**how | {"layout": None}))
        yield
