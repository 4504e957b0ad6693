# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Refine a prediction, and say how far it may be off
#
# Three ways to ask how far a prediction is off: the members' spread, calibrated intervals, and the wave equation. On a
# small survey with a network that is trained in seconds; with the package's weights it is the same calls on
# `ji.load("pretrained")`, at half a minute a sample.

# %%
import os
import tempfile
from pathlib import Path

import jax
import numpy as np

import jax_inversion as ji
from jax_inversion import config, geology
from jax_inversion.train import train

SAMPLES = int(os.environ.get("SAMPLES", "96"))
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## A trained run
#
# Intervals need 20 validation samples or more, refining 16 training samples or more, better hundreds.

# %%
settings = {
    "survey": {
        "nx": 24,
        "nz": 30,
        "spacing_m": 20.0,
        "nt": 176,
        "dt_s": 0.004,
        "source_x_m": [100.0, 230.0, 360.0],
        "source_z_m": 60.0,
        "receiver_x_m": [0.0, 115.0, 230.0, 345.0, 460.0],
        "receiver_z_m": 40.0,
        "peak_hz": 5.0,
    },
    "simulator": {"spacing_m": 20.0, "reference_spacing_m": 20.0, "reference_dt_s": 1e-3},
    "simulate": {"train_count": SAMPLES, "geology": "folded", "workers": 1},
    "data": {"source": "simulated", "validation_fraction": 0.25},
    "preprocess": {"dt_s": 0.004, "whiten": True},
    "base": {"regression": "linear", "input": "preprocessed", "spacing_m": 20.0},
    "model": {"name": "traveltime", "width": 16, "layers": 1, "heads": 2, "columns": 6},
    "ensemble": {"members": 2},
    "train": {"epochs": 2, "batch_size": 8, "optimiser": "muon", "learning_rate": 3e-3},
    "refine": {"spacing_m": 20.0, "bands_hz": [4.0, 8.0], "steps": 1, "products": 8},
    "track": {"wandb": "off"},
}
setup = config.from_dict(settings, "this notebook")
survey = setup.survey
predictor = ji.load(train(setup, run=folder / "mine"))

# %% [markdown]
# ## A sample that it never saw

# %%
truth = np.asarray(geology.draw(jax.random.key(1234), survey, "folded"))
simulator = {"spacing_m": 20.0, "reference_spacing_m": 20.0, "reference_dt_s": 1e-3}
gathers = np.asarray(ji.simulate(truth, survey, **simulator))
prediction = predictor.predict(gathers, intervals=0.8)
print(prediction)

# %% [markdown]
# ## Intervals
#
# The spread of the members, scaled in bands of depth so that, on average over new samples of the same kind, 80 % of the
# cells lie inside. One sample may have more or less.

# %%
inside = (prediction.low <= truth) & (truth <= prediction.high)
width = (prediction.high - prediction.low).mean()
print(f"inside {100 * inside.mean():.0f} % of the cells, mean width {width:.2f} km/s")

# %% [markdown]
# ## Refining
#
# The prediction is corrected until its gathers agree with those observed, in the directions that the network's own
# errors have. The shot in the middle is not fitted: it decides how much of the correction is kept. Where nothing helps,
# the prediction comes back as it was.

# %%
refined = ji.refine(predictor, gathers, prediction)
for name, found in (("predicted", prediction), ("refined", refined)):
    left = np.asarray(ji.simulate(found.velocity_km_s, survey, **simulator)) - gathers
    print(
        f"{name:<10} MAPE {100 * ji.score(truth, found, survey)['mape']:.2f} %,"
        f" data left {np.linalg.norm(left) / np.linalg.norm(gathers):.4f}, spread {found.spread_km_s.mean():.3f} km/s"
    )

# %% [markdown]
# The refined model's standard deviation is the posterior's: of the size of the error where the prior is right, and not
# calibrated.

# %%
figure = ji.plot_model(refined, truth=truth, title="refined")
