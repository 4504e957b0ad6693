"""Figures: their axes and content, and a report that is whole and escapes what it is given."""

import json
import threading

import matplotlib.pyplot as plt
import numpy as np
import pytest

from jax_inversion import config, plots
from jax_inversion.errors import UserError
from jax_inversion.inference.scores import summarise
from jax_inversion.plots import rows
from jax_inversion.plots.gathers import display_gain
from jax_inversion.plots.report import report
from jax_inversion.survey import Survey

SURVEY = Survey(
    nx=6, nz=9, spacing_m=10.0, nt=11, dt_s=1e-2, source_x_m=(0.0, 50.0), source_z_m=0.0,
    receiver_x_m=(0.0, 25.0, 50.0), receiver_z_m=0.0,
)  # fmt: skip
TRUTH = np.linspace(1.5, 4.5, 54).reshape(6, 9)
PNG = b"\x89PNG\r\n\x1a\n"


def test_comparison_shows_depth_down_in_metres():
    figure = plots.comparison(TRUTH, TRUTH + 0.1, SURVEY, spread=0.1 * TRUTH)
    truth, prediction, difference, spread, profiles = figure.axes[:5]
    for ax in (truth, prediction, difference, spread, profiles):
        low, high = ax.get_ylim()
        assert low > high == -5.0 and low == 85.0
    assert truth.get_xlim() == (-5.0, 55.0)
    assert truth.images[0].get_clim() == prediction.images[0].get_clim() == (1.5, 4.5)
    np.testing.assert_allclose(truth.images[0].get_array(), TRUTH.T)
    low, high = difference.images[0].get_clim()
    assert low == -high
    np.testing.assert_allclose(difference.images[0].get_array(), 0.1)


def test_comparison_without_truth():
    figure = plots.comparison(None, TRUTH, SURVEY)
    assert figure.axes[0].get_title() == "prediction"
    assert plots.png(figure).startswith(PNG)


def test_gathers_are_clipped_symmetrically_with_time_down():
    gathers = np.random.default_rng(0).normal(size=SURVEY.gathers_shape)
    figure = plots.gather_panel(gathers, SURVEY, gain="none")
    assert len(figure.axes) == SURVEY.shots
    for ax, gather in zip(figure.axes, gathers, strict=True):
        low, high = ax.images[0].get_clim()
        assert low == -high
        assert ax.get_ylim()[0] > ax.get_ylim()[1]
        np.testing.assert_allclose(ax.images[0].get_array(), gather)


def test_gain():
    ones = np.ones((1, 11, 2))
    np.testing.assert_allclose(display_gain(ones, 0.1, "power", power=2.0)[0, :, 0], (0.1 * np.arange(11)) ** 2)
    steep = ones * 10.0 ** -np.arange(11)[None, :, None]
    balanced = display_gain(steep, 0.1, "agc", window_s=0.1)
    np.testing.assert_allclose(balanced[0, :3, 0], 1.0, rtol=0.01)


def test_silence_can_be_drawn():
    for gain in ("none", "power", "agc"):
        assert plots.png(plots.gather_panel(np.zeros(SURVEY.gathers_shape), SURVEY, gain=gain)).startswith(PNG)


def test_training_curves_of_a_young_run():
    plots.png(plots.training_curves([]))
    lines = [{"step": 1, "epoch": 0.5, "train/loss": 1.0, "train/loss/0": 1.0, "train/mape": 0.1}]
    figure = plots.training_curves([*lines, {"step": 2, "epoch": 1.0, "validation/mape": 0.2}])
    assert figure.axes[1].lines[1].get_ydata().tolist() == [20.0]


def test_no_global_state_and_threads(tmp_path):
    def draw(k: int) -> None:
        plots.save(plots.model_panel([TRUTH] * 3, SURVEY, ["a", "b", "c"], f"{k}"), tmp_path / f"{k}.png")

    threads = [threading.Thread(target=draw, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.png", "1.png", "2.png"]
    assert plt.get_fignums() == []


def test_many_models_fill_rows():
    figure = plots.model_panel([TRUTH] * 20, SURVEY, [str(k) for k in range(20)])
    assert sum(bool(ax.images) for ax in figure.axes) == 20


@pytest.fixture
def run(tmp_path):
    run = tmp_path / "run <b>1"
    run.mkdir()
    config.save(config.Config(survey=SURVEY), run / "config.toml")
    return run


def test_report_of_a_full_run(run):
    systems = {
        "ensemble": summarise([("<script>x</script>", TRUTH, TRUTH * 1.1)], SURVEY),
        "linear regression": summarise([("<script>x</script>", TRUTH, TRUTH * 1.05)], SURVEY),
    }
    systems["ensemble"]["spread"] = {"cells": 0.625, "samples": None, "mean": 0.1, "rms_error": 0.3}
    (run / "scores.json").write_text(json.dumps(systems))
    members = {f"validation/mape/{k}": 0.12 + k / 100 for k in range(3)}
    members |= {f"ensemble/weight/{k}": 0.3 for k in range(3)} | {"validation/linear_mape": 0.08}
    lines = [members | {"step": k, "epoch": k, "train/loss": 1 / k, "validation/mape": 0.2 / k} for k in (1, 2)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"cut": ')
    plots.save(plots.comparison(TRUTH, TRUTH, SURVEY), run / "figures" / "prediction_best.png")
    text = report(run).read_text()
    assert "The ensemble does not beat the linear regression: its MAPE, 10.00 %" in text
    assert "rank correlation with the error 0.62 over cells" in text
    assert "<td>member 2, inversion</td><td>14.00 %</td><td>0.300</td>" in text
    assert "Best validation MAPE 10.00 % at epoch 2, not below the linear regression&#x27;s 8.00 %" in text
    assert text.count("data:image/png;base64,") == 3
    assert "&lt;script&gt;x" in text and "<script>" not in text and "run &lt;b&gt;1" in text
    assert "src=" in text and "http" not in text  # nothing is loaded from elsewhere
    assert "spacing_m = 10.0" in text


def test_report_of_refined_samples_says_what_became_of_each(run):
    before, after = {"a": 1.1, "b": 1.04, "c": 1.02}, {"a": 1.05, "b": 1.05, "c": 1.02}
    systems = {
        name: summarise([(sample, TRUTH, TRUTH * factor) for sample, factor in factors.items()], SURVEY)
        for name, factors in (("ensemble", before), ("refined", after))
    }
    (run / "scores.json").write_text(json.dumps(systems))
    told = {
        name: {"scale": scale, "seconds": 7.2, "reason": reason, "misfit": {"start": 0.3, "end": 0.1}}
        for name, scale, reason in (("a", 1.0, ""), ("b", 0.25, ""), ("c", 0.0, "no <scale> helped"))
    }
    told["c"]["misfit"] = {"start": None, "end": None}  # its gathers could not be simulated
    text = report(run, told).read_text()
    assert "2 of 3 samples were refined; the shot that was held out was missed by 0.300" in text
    assert "fell in 1 samples and rose in 1, at most to 1.25 of what it was" in text
    assert "<td>b</td><td>4.00 %</td><td>5.00 %</td><td>0.300</td><td>0.100</td><td>25 %</td><td>7</td>" in text
    assert "<td>-</td><td>-</td><td>0 %</td><td>7</td><td>no &lt;scale&gt; helped</td>" in text
    assert rows.extremes(systems["ensemble"]["per_sample"], systems["refined"]["per_sample"]) == {
        "best": "a", "worst": "b",
    }  # fmt: skip
    (run / "scores.json").unlink()
    assert "<td>a</td><td>-</td><td>-</td><td>0.300</td>" in report(run, told).read_text()  # no truth, no MAPE


def test_figures_of_a_correction_and_of_intervals():
    figure = plots.correction(TRUTH, TRUTH + 0.2, TRUTH + 0.1, SURVEY)
    before, after = figure.axes[3:5]
    assert before.images[0].get_clim() == after.images[0].get_clim()
    np.testing.assert_allclose(after.images[0].get_array(), 0.1)
    bands = {level: (TRUTH - level, TRUTH + level) for level in (0.5, 0.9)}
    figure = plots.interval_profiles(TRUTH, TRUTH, bands, SURVEY)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()][:2] == ["90 %", "50 %"]
    assert figure.axes[0].get_ylim() == (80.0, 0.0)


def test_report_of_a_bare_run_and_of_none(run, tmp_path):
    assert "<h2>Settings</h2>" in report(run).read_text()
    with pytest.raises(UserError, match="not a run"):
        report(tmp_path)
