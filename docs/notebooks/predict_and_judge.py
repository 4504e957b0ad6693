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
# # Predict a sample and judge the prediction
#
# With the weights that come with the package. They are of the challenge's survey: five shots over 300 m by 1259 m.

# %%
import jax
import numpy as np

import jax_inversion as ji
from jax_inversion import geology

# %% [markdown]
# ## A sample
#
# A random marine section and its gathers, on the simulator's 10 m cells. With a sample's folder of the challenge it
# would be
#
#     gathers = np.stack([np.load(f"SAMPLE/receiver_data_src_{n}.npy") for n in (1, 75, 150, 225, 300)])

# %%
truth = geology.draw(jax.random.key(7), ji.CHALLENGE)
gathers = np.asarray(ji.simulate(truth, spacing_m=10.0))
print(gathers.shape, "(shot, time, receiver)")
figure = ji.plot_gathers(gathers, title="gathers, gained with time")

# %% [markdown]
# ## The prediction
#
# With intervals, between which 90 % of the cells of a new sample of the same kind are to lie.

# %%
predictor = ji.load("pretrained")
prediction = predictor.predict(gathers, intervals=0.9)
print(prediction)
figure = ji.plot_model(prediction, truth=np.asarray(truth), title="pretrained")

# %% [markdown]
# ## How good is it?
#
# MAPE is the challenge's score, as a fraction. The closed-form regressions that the networks correct came with the
# weights; an ensemble that does not beat them has learnt little.

# %%
found = ji.score(truth, prediction)
print(f"MAPE {100 * found['mape']:.2f} %, MAE {found['mae']:.4f} km/s, SSIM {found['ssim']:.4f}")
for name in predictor.baselines:
    model = predictor.baseline(name, predictor.decimated(gathers))[0]
    print(f"{name:<8} MAPE {100 * ji.score(truth, model)['mape']:.2f} %")

# %% [markdown]
# ## Where may it be wrong?
#
# The members' standard deviation says where, the intervals say how far.

# %%
error = np.abs(prediction.velocity_km_s - truth)
inside = (prediction.low <= truth) & (truth <= prediction.high)
for name, rows in {"upper half": slice(0, 630), "lower half": slice(630, None)}.items():
    print(
        f"{name}: error {error[:, rows].mean():.3f} km/s, spread {prediction.spread_km_s[:, rows].mean():.3f} km/s,"
        f" inside the intervals {100 * inside[:, rows].mean():.0f} %"
    )

# %% [markdown]
# ## Does it explain the data?
#
# The gathers of the prediction against those observed, as a share of what the section adds to the response of water.

# %%
again = np.asarray(ji.simulate(prediction.velocity_km_s, spacing_m=10.0))
water = np.asarray(ji.simulate(np.full(ji.CHALLENGE.model_shape, 1.5, np.float32), spacing_m=10.0))
print(f"misfit {np.linalg.norm(again - gathers) / np.linalg.norm(gathers - water):.2f}")

# %% [markdown]
# A good prediction may still leave much of the data unexplained: reflections that are a few milliseconds late count
# fully. That is what refining is for.
