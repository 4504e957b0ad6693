"""What the training tests share: a tiny survey, random samples in its layout, and a preset for them."""

from pathlib import Path

import numpy as np

from jax_inversion import config as configs
from jax_inversion.data.folders import write_sample
from jax_inversion.survey import Survey

SURVEY = Survey(
    nx=12,
    nz=20,
    spacing_m=10.0,
    nt=101,
    dt_s=2e-3,
    source_x_m=(0.0, 110.0),
    source_z_m=20.0,
    receiver_x_m=(0.0, 30.0, 55.0, 80.0, 110.0),
    receiver_z_m=10.0,
)
SETTINGS = {
    "survey": SURVEY.as_dict(),
    "data": {"validation_fraction": 0.25},
    "preprocess": {"dt_s": 4e-3},
    "augment": {"mirror": 0.5, "noise": 0.05, "amplitude": 0.1, "drop_traces": 0.05},
    "model": {
        "embedding": 16, "heads": 2, "layers": 1, "channels": [4], "token_grid": [4, 2], "cross_source_layers": 1,
        "upsampling": [8],
    },
    "ensemble": {"members": 2},
    "train": {"epochs": 4, "batch_size": 4, "learning_rate": 1e-3, "ema_decay": 0.9, "checkpoint_every": 2},
    "track": {"wandb": "off"},
}  # fmt: skip


def tiny_config(**sections: dict) -> configs.Config:
    """The preset with ``sections`` changed, as in ``tiny_config(train={"epochs": 2})``; another network replaces it."""
    changed = {name: ({} if "name" in values else SETTINGS.get(name, {})) | values for name, values in sections.items()}
    return configs.from_dict(SETTINGS | changed)


def write_samples(folder: Path, count: int = 16) -> Path:
    """``count`` samples of noise over two-layer models below ``folder``/train."""
    rng = np.random.default_rng(0)
    for k in range(count):
        velocity = np.full(SURVEY.model_shape, 1.5)
        velocity[:, rng.integers(4, 16) :] = rng.uniform(2.0, 4.0)
        gathers = 0.01 * rng.standard_normal(SURVEY.gathers_shape)
        write_sample(folder / "train", f"sample{k:02d}", SURVEY, gathers, velocity)
    return folder
