"""Scores worked by hand, the truth found where it lies, and refusals through the front door."""

import json

import numpy as np
import pytest

from jax_inversion import config
from jax_inversion.data.folders import write_sample
from jax_inversion.errors import UserError
from jax_inversion.inference.scores import compare_spread, spread_against_error, spread_words, summarise, table, verdict
from jax_inversion.inference.submission import SubmissionWriter, spread_path
from jax_inversion.score import main, score
from jax_inversion.survey import Survey

SURVEY = Survey(
    nx=8, nz=16, spacing_m=10.0, nt=5, dt_s=1e-3, source_x_m=(0.0, 70.0), source_z_m=0.0, receiver_x_m=(0.0, 70.0),
    receiver_z_m=0.0,
)  # fmt: skip
GATHERS = np.ones(SURVEY.gathers_shape, np.float32)


@pytest.fixture
def truth(tmp_path):
    for sample_id, value in (("a", 2.0), ("b", 4.0)):
        write_sample(tmp_path / "truth", sample_id, SURVEY, GATHERS, np.full(SURVEY.model_shape, value))
    return tmp_path / "truth"


@pytest.fixture
def submission(tmp_path):
    """a is 0.2 off everywhere (10 %); b is 0.4 off in the lower half (10 % there, 5 % overall)."""
    with SubmissionWriter(tmp_path / "s.npz") as writer:
        writer.write("a", np.full(SURVEY.model_shape, 2.2))
        writer.write("b", np.where(np.arange(16) < 8, 4.0, 4.4) * np.ones((8, 1)))
    return tmp_path / "s.npz"


def test_hand_worked(truth, submission):
    scores = score(truth, submission, survey=SURVEY)
    assert scores["samples"] == 2
    assert scores["mape"] == pytest.approx(0.075)
    assert scores["per_sample"] == {"a": pytest.approx(0.1), "b": pytest.approx(0.05)}
    assert scores["mae"] == pytest.approx(0.2)
    assert scores["rmse"] == pytest.approx(((0.2**2 + 0.4**2 / 2) / 2) ** 0.5)
    assert 0 < scores["ssim"] < 1
    np.testing.assert_allclose(scores["mape_at_depth"], [0.05] * 8 + [0.1] * 8, rtol=1e-6)
    assert scores["bands"][0] == {"from_m": 0.0, "to_m": 20.0, "mape": pytest.approx(0.05)}
    assert scores["bands"][-1] == {"from_m": 140.0, "to_m": 160.0, "mape": pytest.approx(0.1)}


def test_a_perfect_submission(truth):
    pairs = [(name, np.full((8, 16), 2.5), np.full((8, 16), 2.5)) for name in "abc"]
    scores = summarise(pairs, SURVEY)
    assert (scores["mape"], scores["mae"], scores["rmse"], scores["ssim"]) == (0, 0, 0, 1)


def test_models_below_the_window_of_ssim(truth):
    small = Survey(**{**SURVEY.as_dict(), "nx": 3, "nz": 4})
    scores = summarise([("a", np.full((3, 4), 2.0), np.full((3, 4), 1.0))], small)
    assert scores["ssim"] is None and scores["mape"] == pytest.approx(0.5) and len(scores["bands"]) == 4


def test_truth_beside_train_and_test_counts_first(tmp_path, truth, submission):
    for split, value in (("train", 2.0), ("test", 3.0)):
        write_sample(tmp_path / split, "t", SURVEY, GATHERS, np.full(SURVEY.model_shape, value))
    assert score(tmp_path, submission, survey=SURVEY)["samples"] == 2


def test_shape_is_taken_from_the_truth_where_no_survey_is_given(tmp_path):
    names = ("receiver_data_src_1.npy", "vp_model.npy")
    for sample_id in "ab":
        (tmp_path / "t" / sample_id).mkdir(parents=True)
        np.save(tmp_path / "t" / sample_id / names[1], np.full((8, 16), 2.0))
    with SubmissionWriter(tmp_path / "s.npz") as writer:
        for sample_id in "ab":
            writer.write(sample_id, np.full((8, 16), 2.1))
    assert score(tmp_path / "t", tmp_path / "s.npz")["mape"] == pytest.approx(0.05)
    np.save(tmp_path / "t" / "b" / names[1], np.full((9, 16), 2.0))
    with pytest.raises(UserError, match=r"sample b: .*shape is \(9, 16\); right is \(8, 16\)"):
        score(tmp_path / "t", tmp_path / "s.npz")


def test_front_door(tmp_path, truth, submission, capsys):
    config.save(config.Config(survey=SURVEY), tmp_path / "config.toml")
    arguments = ["--truth", str(truth), "--submission", str(submission), "--survey", str(tmp_path / "config.toml")]
    out = ["--json", str(tmp_path / "scores.json"), "--figures", str(tmp_path / "figures")]
    assert main([*arguments, *out]) == 0
    printed = capsys.readouterr().out
    assert "MAPE     0.07500  (7.50 %)" in printed and "0 to     20 m   5.00 %" in printed
    assert printed.index("  a  ") < printed.index("  b  ")  # the worst first
    assert json.loads((tmp_path / "scores.json").read_text())["mape"] == pytest.approx(0.075)
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert drawn == {f"prediction_{r}.png" for r in ("best", "median", "worst")} | {
        "mape_by_depth.png",
        "mape_by_sample.png",
    }


def test_front_door_refuses_in_one_line(tmp_path, truth, submission, capsys):
    write_sample(truth, "c", SURVEY, GATHERS, np.full(SURVEY.model_shape, 2.0))
    assert main(["--truth", str(truth), "--submission", str(submission)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("error:")] == [
        f"error: {submission}: sample ids 1 missing (c); right is exactly the 3 of the test set"
    ]
    assert main(["--truth", str(tmp_path / "none"), "--submission", str(submission)]) == 2
    assert "no velocity models" in capsys.readouterr().err


def test_verdict_and_table_do_not_flatter():
    def scores(mape: float) -> dict:
        return {"mape": mape, "mae": 0.1, "rmse": 0.2, "ssim": None}

    systems = {"ensemble": scores(0.05), "median profile": scores(0.1), "linear regression": scores(0.04)}
    good, bad = verdict(systems)
    assert good == "The ensemble's MAPE, 5.00 %, is 0.50 of the median profile's 10.00 %: better."
    assert bad.startswith("The ensemble does not beat the linear regression: its MAPE, 5.00 %, is 1.25 of")
    assert table(systems)[1] == ("ensemble", "5.00 %", "0.1000", "0.2000", "-")


def test_spread_is_set_against_the_error():
    rng = np.random.default_rng(0)
    truth, spread = np.full((40, 60), 2.0), rng.uniform(0.1, 0.5, (3, 40, 60)) * np.array([1, 2, 3])[:, None, None]
    honest = [(truth, truth + s * rng.standard_normal(s.shape), s) for s in spread]
    found = spread_against_error([compare_spread(*sample) for sample in honest])
    assert 0.3 < found["cells"] < 0.9 and found["samples"] == pytest.approx(1.0)
    assert found["mean"] == pytest.approx(spread.mean()) and found["rms_error"] == pytest.approx(0.66, rel=0.1)
    exact = spread_against_error([compare_spread(truth, truth + s, s) for s in spread])
    assert exact["cells"] == pytest.approx(1.0)
    assert "rank correlation with the error 1.00 over cells, 1.00 over samples" in spread_words(exact)
    flat = spread_against_error([compare_spread(truth, truth + 1, 0 * truth)])
    assert flat["cells"] is None and flat["samples"] is None and spread_words(flat) == "" == spread_words(None)


def test_the_spread_beside_a_submission_is_scored_if_it_is_of_that_prediction(tmp_path, truth, submission):
    def write(path, models, made_from):
        with SubmissionWriter(path, made_from) as writer:
            for name, model in models.items():
                writer.write(name, model)

    models = {name: archive for name, archive in np.load(submission).items()}
    rng = np.random.default_rng(0)
    spreads = {name: rng.uniform(0.1, 1.0, model.shape) for name, model in models.items()}
    mine = tmp_path / "mine.npz"
    write(mine, models, {"checkpoint": 1})
    write(spread_path(mine), spreads, {"checkpoint": 1})
    assert score(truth, mine)["spread"]["mean"] == pytest.approx(np.mean([s.mean() for s in spreads.values()]))
    write(spread_path(mine), spreads, {"checkpoint": 2})
    assert "spread" not in score(truth, mine)
