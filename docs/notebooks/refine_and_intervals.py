# %% [markdown]
# # refine_and_intervals
