"""The names of the original guide are answered with today's."""

import pytest

from jax_inversion.former_names import former


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("checkpoint_epoch_10.pth", "epoch_10"),
        ("checkpoint_epoch_007.pth", "epoch_7"),
        ("latest_checkpoint.pth", "latest"),
        ("best_model.pth", "best"),
        ("num_models", "ensemble.members"),
        ("num_layers", "model.layers"),
        ("train_sota_model", "train"),
        ("modal_seismic_inversion.py", "modal_jobs.py"),
    ],
)
def test_former_names_have_a_new_one(old, new):
    assert former(old) == new


@pytest.mark.parametrize("name", ["epoch_10", "best", "checkpoint_epoch_x.pth", "my_checkpoint_epoch_1.pth", ""])
def test_other_names_have_none(name):
    assert former(name) is None
