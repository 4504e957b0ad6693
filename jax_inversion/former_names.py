"""Names of the guide that this project reimplements, and what has their place here."""

import re

_NAMES = {
    "latest_checkpoint.pth": "latest",
    "best_model.pth": "best",
    "num_models": "ensemble.members",
    "batch_size": "train.batch_size",
    "learning_rate": "train.learning_rate",
    "num_epochs": "train.epochs",
    "embed_dim": "model.embedding",
    "num_heads": "model.heads",
    "num_layers": "model.layers",
    "dropout": "model.dropout",
    "checkpoint_name": "checkpoint-name",
    "train_sota_model": "train",
    "analyze_data": "analyze_data",
    "modal_seismic_inversion.py": "modal_jobs.py",
}
_EPOCH = re.compile(r"checkpoint_epoch_(\d+)\.pth")


def former(name: str) -> str | None:
    """What the guide's ``name`` (a checkpoint, a setting, a stage, an option, a script) is called here, or None.

    ``checkpoint_epoch_10.pth`` is ``epoch_10``; settings come with their section, as in ``ensemble.members``.
    """
    if match := _EPOCH.fullmatch(name):
        return f"epoch_{int(match[1])}"
    return _NAMES.get(name)
