"""What the command line says of itself: every setting with a sentence, completion, the doctor, versions."""

import re
import subprocess

import pytest

from jax_inversion import __version__
from jax_inversion import config as configs
from jax_inversion.__main__ import VERBS
from jax_inversion.__main__ import main as verbs
from jax_inversion.cli import SECTIONS
from jax_inversion.doctor import main as doctor
from jax_inversion.infer import main as infer
from jax_inversion.settings_help import settings_text
from jax_inversion.train import main as train

NETWORKS = ("challenge", "quickstart")  # a preset of each


def settings(preset: str) -> dict[str, str]:
    """By the option's name, what help says of it."""
    text = settings_text(configs.load(preset), SECTIONS)
    entries = re.split(r"\n  --(?=[a-z])", text)[1:]
    return {entry.split()[0]: " ".join(entry.split()[1:]) for entry in entries}


@pytest.mark.parametrize("preset", NETWORKS)
def test_help_has_every_setting_with_its_value_and_a_sentence(preset):
    told, config = settings(preset), configs.load(preset)
    for section, fields in configs.as_dict(config).items():
        for name in fields.keys() - {"group"}:
            words = told.pop(f"{section}.{name}".replace("_", "-"))
            sentence, default = words.split("(default:")
            assert len(re.sub(r"[A-Z]{2,}|[{\[].*?[}\]]+", "", sentence).split()) >= 1, f"{section}.{name} has no words"
            value = fields[name]
            assert str(value if not isinstance(value, list) else value[0])[:8] in default, f"{section}.{name}"
    assert not told


def test_a_door_shows_the_named_presets_values(capsys):
    with pytest.raises(SystemExit) as end:
        train(["--config", "quickstart", "--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0 and "--from CKPT" in text
    assert re.search(r"--train.learning-rate FLOAT\s+at its highest \(default: 0.007\)", text)
    with pytest.raises(SystemExit):
        infer(["--ckpt", "pretrained", "--help"])
    assert re.search(r"--infer.batch-size INT.*?\(default: 10\)", capsys.readouterr().out, re.DOTALL)
    assert infer(["--ckpt", "nowhere", "--help"]) == 2
    assert "RUN/epoch_<n> or a folder step_<n>, a model file *.npz, or pretrained" in capsys.readouterr().err
    assert train(["--config", "nowhere", "--help"]) == 2
    assert "right is a preset's file, or one of" in capsys.readouterr().err


def test_completion_knows_verbs_options_and_settings(capsys, tmp_path):
    assert verbs(["--print-completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert all(verb in script for verb in VERBS) and "--train.learning-rate" in script and "--budget-minutes" in script
    assert re.search(r"\bimport\b", script)
    (tmp_path / "script").write_text(script)
    subprocess.run(["bash", "-n", tmp_path / "script"], check=True)
    assert verbs(["--print-completion", "dos"]) == 2 and "right is one of bash" in capsys.readouterr().err


def test_version_and_doctor(capsys):
    assert verbs(["--version"]) == 0 and capsys.readouterr().out == f"jax_inversion {__version__}\n"
    assert doctor([]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines.keys() >= {"package", "libraries", "devices", "disk", "cache", "weights", "wandb", "modal"}
    assert "jaxlib" in lines["libraries"] and "cpu" in lines["devices"]
