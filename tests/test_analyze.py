"""Statistics worked by hand, bad samples listed without stopping, figures written."""

import numpy as np
import pytest

from jax_inversion import analyze, config
from jax_inversion.data import analysis
from jax_inversion.data.analysis import examine, text
from jax_inversion.data.folders import MODEL_FILE, find_samples, gather_files, write_sample
from jax_inversion.data.statistics import AmplitudeStatistics, VelocityStatistics, evenly, sea_floor_m
from jax_inversion.errors import UserError
from jax_inversion.survey import Survey
from jax_inversion.surveys import SURVEY_FILE, keep_survey

SURVEY = Survey(
    nx=6, nz=9, spacing_m=10.0, nt=101, dt_s=1e-3, source_x_m=(0.0, 50.0), source_z_m=0.0,
    receiver_x_m=(0.0, 25.0, 50.0), receiver_z_m=0.0,
)  # fmt: skip
MODEL = np.where(np.arange(9) < 3, 1.5, 3.0) * np.ones((6, 1))


def _gathers(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=SURVEY.gathers_shape).astype(np.float32)


@pytest.fixture
def data(tmp_path):
    for k in range(3):
        write_sample(tmp_path / "data" / "train", f"t{k}", SURVEY, _gathers(k), MODEL)
    write_sample(tmp_path / "data" / "test", "u0", SURVEY, _gathers(9), None)
    return tmp_path / "data"


def test_amplitudes_by_hand():
    statistics = AmplitudeStatistics(dt_s=1e-2)
    for values in ([1.0, 2.0, 3.0, 2.0], [0.0, 0.0, 4.0, 4.0]):
        statistics.add(np.asarray(values, np.float32).reshape(1, 4, 1))
    both = np.asarray([1, 2, 3, 2, 0, 0, 4, 4])
    assert (statistics.low, statistics.high) == (0, 4)
    assert statistics.mean == pytest.approx(both.mean()) and statistics.std == pytest.approx(both.std())


def test_spectrum_of_a_sine():
    time_s = np.arange(1000) * 1e-3
    statistics = AmplitudeStatistics(dt_s=1e-3)
    tone = np.sin(2 * np.pi * 20 * time_s) + 10 ** (-30 / 20) * np.sin(2 * np.pi * 70 * time_s)
    statistics.add(np.broadcast_to(tone[:, None], (2, 1000, 3)).astype(np.float32))
    assert statistics.peak_hz() == pytest.approx(20)
    assert statistics.highest_hz() == pytest.approx(70)
    assert statistics.highest_hz(-20.0) == pytest.approx(20)
    frequency, level = statistics.spectrum()
    assert level[frequency.tolist().index(70.0)] == pytest.approx(-30, abs=0.01)


def test_sea_floor():
    model = np.array([[1.5, 1.5, 2.0, 1.5], [1.5, 1.7, 1.7, 1.7], [1.5, 1.5, 1.5, 1.5]])
    np.testing.assert_array_equal(sea_floor_m(model, 5.0), [10, 5, 20])
    found = VelocityStatistics.of(model[None], 5.0)
    assert (found.low, found.high, found.median) == (1.5, 2.0, 1.5)
    assert found.mean == pytest.approx(model.mean()) and found.std == pytest.approx(model.std())
    assert found.sea_floor_m == (5.0, pytest.approx(35 / 3), 20.0)


def test_evenly():
    assert evenly(3, 5).tolist() == [0, 1, 2]
    assert evenly(101, 5).tolist() == [0, 25, 50, 75, 100]


def test_counts_and_figures(data):
    found = examine(data, SURVEY)
    assert found.counts == {"train": 3, "test": 1} and found.with_models == 3 and not found.faults
    assert found.velocities.mean == pytest.approx(MODEL.mean(), rel=1e-6)
    said, figures = analyze.analyze(data, survey=SURVEY)
    assert said.startswith(text(found, SURVEY))
    assert {path.name for path in figures} == {
        "gathers_1.png", "gathers_2.png", "spectrum.png", "models.png", "velocity_histogram.png",
        "velocity_with_depth.png",
    }  # fmt: skip
    assert all(path.parent == data / "analysis" and path.stat().st_size > 5000 for path in figures)


def test_bad_samples_are_listed_and_do_not_stop_it(data, tmp_path, capsys):
    np.save(data / "train" / "t0" / gather_files(SURVEY)[0], np.full((101, 3), np.nan, np.float32))
    (data / "train" / "t1" / MODEL_FILE).unlink()
    config.save(config.Config(survey=SURVEY), tmp_path / "config.toml")
    survey = ["--survey", str(tmp_path / "config.toml")]
    assert analyze.main(["--data", str(data), "--out", str(tmp_path / "out"), *survey]) == 0
    printed = capsys.readouterr().out
    assert "bad samples  2" in printed and "train/t0:" in printed and "NaN" in printed
    assert "train/t1:" in printed and "vp_model.npy: missing" in printed
    assert "2 of 4 samples have one" in printed


def test_a_sample_of_many_says_so(data, monkeypatch):
    monkeypatch.setattr(analysis, "MEASURED", 2)
    found = examine(data, SURVEY)
    assert len(found.chosen) == 3
    assert "3 samples spread evenly over the 4" in text(found, SURVEY)


def test_an_interrupted_analysis_leaves_nothing_that_counts_as_a_sample(data, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(analyze, "_draw", interrupt)
    with pytest.raises(KeyboardInterrupt):
        analyze.analyze(data / "train", survey=SURVEY)
    assert [sample.id for sample in find_samples(data / "train", None, SURVEY)] == ["t0", "t1", "t2"]


def test_one_id_in_both_splits_is_refused(data):
    write_sample(data / "test", "t1", SURVEY, _gathers(1), None)
    with pytest.raises(UserError, match="t1"):
        examine(data, SURVEY)


def test_nothing_usable_is_an_error(data, tmp_path):
    for sample in (data / "train").iterdir():
        (sample / MODEL_FILE).write_bytes(b"\x80")
    (data / "test" / "u0" / gather_files(SURVEY)[0]).unlink()
    with pytest.raises(UserError, match=r"none of 4 samples is usable; the first fault: .*pickle"):
        analyze.analyze(data, survey=SURVEY)
    with pytest.raises(UserError, match="no such folder"):
        analyze.analyze(tmp_path / "typo", survey=SURVEY)
    assert not (tmp_path / "typo").exists()


def test_dead_traces_are_counted(data):
    gathers = _gathers(3)
    gathers[1], gathers[0, :, 2] = 0, 0
    write_sample(data / "train", "t3", SURVEY, gathers, MODEL)
    found = examine(data, SURVEY)
    assert found.dead == {"train/t3": 4} and not found.faults
    assert "dead traces  4 in 1 samples, the most in train/t3 (4 of 6)" in text(found, SURVEY)


def test_the_survey_beside_the_samples_is_taken(data, capsys):
    keep_survey(data / SURVEY_FILE, SURVEY)
    assert analyze.main(["--data", str(data)]) == 0
    assert "2 shots of (101, 3)" in capsys.readouterr().out
