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
# # Train on your own survey
#
# A survey that nobody has trained for: describe it, simulate, train, predict, score. Everything is tiny here, so that
# it takes seconds; for real work raise the numbers.

# %%
import os
import tempfile
from pathlib import Path

import jax
import numpy as np

import jax_inversion as ji
from jax_inversion import config, geology
from jax_inversion.export import export
from jax_inversion.train import train

SAMPLES = int(os.environ.get("SAMPLES", "96"))
EPOCHS = int(os.environ.get("EPOCHS", "2"))
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## The survey and the settings
#
# A preset is a TOML file or a nested dictionary. What is not said keeps its default. The background's response is that
# of a reference run, the run that the data are to look like: here one on cells of 20 m, which takes a moment.

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
    "train": {"epochs": EPOCHS, "batch_size": 8, "optimiser": "muon", "learning_rate": 3e-3},
    "track": {"wandb": "off"},
}
setup = config.from_dict(settings, "this notebook")
config.save(setup, folder / "mine.toml")
survey = ji.Survey.load(folder / "mine.toml")
assert survey == setup.survey

# %% [markdown]
# A mistake is refused by name:

# %%
try:
    config.from_dict({**settings, "train": {"epoch": 3}}, "this notebook")
except ji.UserError as error:
    print(error)

# %% [markdown]
# ## A look at what is trained on

# %%
truth = geology.draw(jax.random.key(1234), survey, "folded")
gathers = np.asarray(ji.simulate(truth, survey, spacing_m=20.0, reference_spacing_m=20.0, reference_dt_s=1e-3))
figure = ji.plot_gathers(gathers, survey)

# %% [markdown]
# ## Train
#
# Samples are simulated into a packed store, regressions are fitted, networks learn what they leave. The same as
#
#     jax-inversion train --config mine.toml --run runs/mine
#
# and like that it goes on where it was, if it is interrupted.

# %%
run = train(setup, run=folder / "mine")
print(sorted(path.name for path in run.iterdir()))

# %% [markdown]
# ## Predict and score

# %%
predictor = ji.load(run)
prediction = predictor.predict(gathers)
print(prediction)
print(f"ensemble  MAPE {100 * ji.score(truth, prediction, survey)['mape']:.2f} %")
for name in predictor.baselines:
    model = predictor.baseline(name, predictor.decimated(gathers))[0]
    print(f"{name:<9} MAPE {100 * ji.score(truth, model, survey)['mape']:.2f} %")

# %% [markdown]
# With so few samples and steps the networks add little to the regression, or nothing. How the error falls with samples
# and epochs on the challenge's survey is in the benchmarks.

# %%
figure = ji.plot_model(prediction, truth=truth)

# %% [markdown]
# ## Take it along
#
# A run as one small file, which predicts anywhere.

# %%
small = export(run, folder / "mine.npz")
print(small.name, small.stat().st_size // 1000, "kB")
assert ji.load(small).survey == survey
