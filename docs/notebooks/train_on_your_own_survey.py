# %% [markdown]
# # train_on_your_own_survey
