# %% [markdown]
# # predict_and_judge
