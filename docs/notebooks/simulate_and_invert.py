# %% [markdown]
# # simulate_and_invert
