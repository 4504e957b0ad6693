"""The pipeline as shipped, on a survey of a few cells: whole, again, and after each thing that may change."""

import json
from pathlib import Path

import numpy as np
import pytest

from jax_inversion import config as configs
from jax_inversion.data.folders import gather_files
from jax_inversion.errors import UserError
from jax_inversion.inference.submission import read_submission
from jax_inversion.pipeline import finish, main, pipeline
from jax_inversion.runs import Run

PRESET = Path(__file__).parent / "modal" / "tiny.toml"
SETTINGS = ["--base.regression", "kernel", "--train.epochs", "1"]


@pytest.fixture(scope="module")
def first(tmp_path_factory, plain_figures):
    """A run of the whole pipeline, and the scores that it returned."""
    run = Run(tmp_path_factory.mktemp("pipeline") / "run")
    return run, pipeline(configs.load(PRESET, SETTINGS), run)


@pytest.mark.slow
def test_everything_is_there_and_scored(first):
    run, systems = first
    assert list(systems) == ["ensemble", "median profile", "linear regression", "kernel regression"]
    assert all(0 < scores["mape"] < 1 for scores in systems.values())
    assert json.loads(run.scores.read_text()).keys() == systems.keys()
    assert run.report.read_text().count("<img") >= 8
    assert configs.load(run.config).data.root == str(run.data)
    with read_submission(run.submission("best_epoch_1")) as submission:
        assert len(submission.ids) == 4


@pytest.mark.slow
def test_again_nothing_is_made_anew_and_each_change_is_noticed(first, caplog):
    run, systems = first
    caplog.set_level("INFO", logger="jax_inversion")
    made, submission = run.provenance.read_bytes(), run.submission("best_epoch_1")

    def again(*changes: str) -> str:
        caplog.clear()
        scores = pipeline(configs.load(PRESET, [*SETTINGS, *changes]), run)
        assert scores.keys() == systems.keys()
        return caplog.text

    said = again()
    assert "analysis is there already" in said and f"{submission.name} is there already" in said
    assert "scores is there already" in said and run.provenance.read_bytes() == made

    before = submission.read_bytes()
    said = again("--infer.smoothing-m", "40")
    assert f"{submission.name} is made anew, for infer changed" in said and "analysis is there already" in said
    assert submission.read_bytes() != before and configs.load(run.config).infer.smoothing_m == 40

    sample = run.data / "test" / "marine-s1-00000001" / gather_files(configs.load(PRESET).survey)[0]
    np.save(sample, 1.1 * np.load(sample, allow_pickle=False))
    assert f"{submission.name} is made anew, for infer, samples changed" in again()

    with pytest.raises(UserError, match=r"not what the run would predict now \(samples\)"):
        np.save(sample, np.load(sample, allow_pickle=False) / 1.1)
        finish(run, run.data)


def test_mistakes_are_told_before_any_work(tmp_path, capsys):
    arguments = ["--config", str(PRESET), "--run", str(tmp_path / "run")]
    assert main([*arguments, "--train.epoch", "3"]) == 2 and "did you mean 'epochs'" in capsys.readouterr().err
    (tmp_path / "data" / "train").mkdir(parents=True)
    assert main([*arguments, "--data", str(tmp_path / "data")]) == 2
    assert "no samples in it" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main([*arguments[:2], "--run", str(tmp_path / "file")]) == 2
    assert "is a file" in capsys.readouterr().err
