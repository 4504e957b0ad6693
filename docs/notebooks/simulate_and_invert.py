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
# # Simulate, take a gradient, invert
#
# The simulator alone: gathers of a model, the gradient of a misfit, and a small waveform inversion with optax. The
# survey is small, so that each cell takes seconds on a laptop.

# %%
import jax
import jax.numpy as jnp
import numpy as np
import optax

import jax_inversion as ji
from jax_inversion import geology, physics
from jax_inversion.resampling import resize

# %% [markdown]
# ## A survey
#
# 24 by 30 cells of 20 m, three shots, five receivers, 0.7 s, a wavelet of 5 Hz. Position x = 0 is the centre of the
# first cell.

# %%
survey = ji.Survey(
    nx=24,
    nz=30,
    spacing_m=20.0,
    nt=176,
    dt_s=4e-3,
    source_x_m=(100.0, 230.0, 360.0),
    source_z_m=60.0,
    receiver_x_m=(0.0, 115.0, 230.0, 345.0, 460.0),
    receiver_z_m=40.0,
    peak_hz=5.0,
)

# %% [markdown]
# ## Gathers of a model
#
# `geology.draw` is a pure function of a key. `simulate` takes the settings of `[simulator]` as keywords. Without a
# background the direct wave is the simulator's own, and nothing has to be computed once for the survey.

# %%
truth = geology.draw(jax.random.key(0), survey, "folded")
how = {"spacing_m": 20.0, "background_km_s": "none"}
observed = ji.simulate(truth, survey, **how)
water = ji.simulate(np.full(survey.model_shape, 1.5, np.float32), survey, **how)
print(truth.shape, "(x, depth) ->", observed.shape, "(shot, time, receiver)")
figure = ji.plot_gathers(observed - water, survey, title="what the section adds to water")

# %% [markdown]
# ## A misfit
#
# The start knows the velocity at the top and how fast it rises, nothing else. What is sought is a correction of its
# logarithm, 6 by 10 numbers that `resize` interpolates to the cells: so few numbers are a prior of their own.
# The misfit is a share of what the section adds to the response of water.

# %%
rise = jnp.linspace(truth[:, :3].mean(), 1.25 * truth.mean(), survey.nz)
start = jnp.broadcast_to(rise[None], survey.model_shape)


def model(correction):
    velocity = start * jnp.exp(resize(correction, survey.model_shape))
    return jnp.clip(velocity, survey.v_min_km_s, survey.v_max_km_s)


@jax.jit
@jax.value_and_grad
def misfit(correction):
    left = ji.simulate(model(correction), survey, **how) - observed
    return jnp.square(left).sum() / jnp.square(observed - water).sum()


# %% [markdown]
# ## Its gradient, and whether it is one
#
# The gradient is by the adjoint state. A step of size h along it changes the misfit by h times the slope; what that
# leaves out falls with the square of h.

# %%
correction = jnp.zeros((6, 10))
value, slope = misfit(correction)
direction = slope / jnp.linalg.norm(slope)
print(f"misfit of the start {value:.4f}")
for h in (0.04, 0.02, 0.01):
    change = misfit(correction + h * direction)[0] - value
    expected = h * jnp.linalg.norm(slope)
    print(f"h = {h}: change {change:.5f}, by the gradient {expected:.5f}, left {change - expected:.5f}")

# %% [markdown]
# ## A small inversion
#
# Forty steps of Adam.

# %%
optimiser = optax.adam(0.02)
state = optimiser.init(correction)
for k in range(41):
    value, slope = misfit(correction)
    if k % 10 == 0:
        error = ji.score(truth, model(correction), survey)["mape"]
        print(f"step {k:>2}: misfit {value:.4f}, MAPE {100 * error:.2f} %")
    change, state = optimiser.update(slope, state)
    correction = optax.apply_updates(correction, change)

# %% [markdown]
# Misfit falls by a factor of a hundred, the model's error by one of four: the data leave something open. What a learnt
# start and a learnt prior add is in the notebook on refining.

# %%
figure = ji.plot_model(model(correction), survey, truth=truth, title="inverted")

# %% [markdown]
# ## Born modelling and its transpose
#
# `physics.linearize` gives gathers and two products of their derivative J, transposes of each other: what Gauss-Newton
# needs.

# %%
gathers, jvp, vjp = physics.linearize(start, survey, spacing_m=20.0)
change = 0.01 * start
born, image = jvp(change), vjp(gathers)
print(f"<J c, g> {jnp.vdot(born, gathers):.6g}, <c, J^T g> {jnp.vdot(change, image):.6g}")
