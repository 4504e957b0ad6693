"""The pipeline as shipped, on a survey of a few cells: whole, again, and after each thing that may change."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.special

import jax_inversion
from jax_inversion import config as configs
from jax_inversion.data.folders import Sample, gather_files, read_gathers, write_sample
from jax_inversion.errors import UserError
from jax_inversion.export import main as export_main
from jax_inversion.infer import main as infer_main
from jax_inversion.inference import intervals
from jax_inversion.inference.stored import stored_samples
from jax_inversion.inference.submission import bounds_paths, quality_path, read_submission, spread_path
from jax_inversion.pipeline import finish, main, pipeline
from jax_inversion.refine import main as refine_main
from jax_inversion.refine import refine
from jax_inversion.refinement import calibration
from jax_inversion.refinement.submission import rows_path
from jax_inversion.remote import refining
from jax_inversion.report import main as report_main
from jax_inversion.runs import Run
from jax_inversion.score import main as score_main
from jax_inversion.train import main as train_main
from jax_inversion.training import model_file, restore

PRESET = Path(__file__).parent / "modal" / "tiny.toml"
# Refining needs a background, that of a reference run on cells coarse enough for a test, and 16 samples or more.
SETTINGS = [
    "--base.regression", "kernel", "--train.epochs", "1", "--simulate.train-count", "32",
    "--simulator.background-km-s", "slowest", "--simulator.reference-spacing-m", "10",
    "--simulator.reference-dt-s", "5e-4", "--refine.on", "true", "--refine.spacing-m", "10", "--refine.bands-hz", "10",
    "--refine.steps", "1", "--refine.products", "3", "--refine.workers", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def first(tmp_path_factory, plain_figures):
    """A run of the whole pipeline, and the scores that it returned."""
    run = Run(tmp_path_factory.mktemp("pipeline") / "run")
    return run, pipeline(configs.load(PRESET, SETTINGS), run)


@pytest.mark.slow
def test_everything_is_there_and_scored(first):
    run, systems = first
    assert list(systems) == ["ensemble", "refined", "median profile", "linear regression", "kernel regression"]
    assert all(0 < scores["mape"] < 1 for scores in systems.values())
    assert json.loads(run.scores.read_text()).keys() == systems.keys()
    assert run.report.read_text().count("<img") >= 8
    assert configs.load(run.config).data.root == str(run.data)
    with read_submission(run.submission("best_epoch_1")) as submission:
        assert len(submission.ids) == 4
    refined = run.submission("best_epoch_1_refined")
    with read_submission(refined) as submission, read_submission(spread_path(refined)) as spread:
        assert len(submission.ids) == len(spread.ids) == 4
    controlled = json.loads(quality_path(run.submission("best_epoch_1")).read_text())["samples"]
    assert len(controlled) == 4 and all(0 < row["misfit"] < 2 and 0 <= row["above"] <= 1 for row in controlled.values())
    assert systems["ensemble"]["misfit"]["mean"] > 0 and "of the whitened data is left" in run.report.read_text()
    assert len(list(run.figures.glob("quality_*.png"))) == 3
    told = json.loads(rows_path(refined).read_text())
    assert all(row["misfit"]["end"] <= row["misfit"]["start"] for row in told.values())
    assert not list(run.path.glob("*.refining"))


@pytest.mark.slow
def test_refining_stops_with_its_budget_and_goes_on_to_the_same_models(first, tmp_path, caplog, capsys):
    run, _ = first
    caplog.set_level("INFO", logger="jax_inversion")
    out = tmp_path / "refined.npz"
    refine(run.path, run.data, out, budget_minutes=1e-6)
    told = json.loads(rows_path(out).read_text())
    assert len(told) == 1 and "3 samples come back as they were predicted: the budget is spent" in caplog.text
    predicted = run.submission("best_epoch_1")
    for path in (predicted, spread_path(predicted)):
        written = out if path == predicted else spread_path(out)
        with read_submission(path) as start, read_submission(written) as refined:
            for name in start.ids:
                same = np.array_equal(start.read(name, (12, 20)), refined.read(name, (12, 20)))
                assert same == (name not in told) or not told[name]["scale"]
    begun = (tmp_path / "refined.refining" / "rows.jsonl").read_text()
    (tmp_path / "refined.refining" / "rows.jsonl").write_text(begun + begun[:40])  # as a kill leaves it
    refine(run.path, run.data, out)
    again = json.loads(rows_path(out).read_text())
    assert len(again) == 4 and again.items() >= told.items() and not list(tmp_path.glob("*.refining"))
    with read_submission(run.submission("best_epoch_1_refined")) as whole, read_submission(out) as refined:
        for sample_id in whole.ids:
            np.testing.assert_array_equal(whole.read(sample_id, (12, 20)), refined.read(sample_id, (12, 20)))
    assert refine_main(["--ckpt", str(run.path), "--train.epochs", "2"]) == 2
    assert "only --infer.* and --refine.* can be changed here" in capsys.readouterr().err


@pytest.mark.slow
def test_parts_refined_on_several_machines_are_the_submission_of_one(first, tmp_path, capsys):
    """What Modal's containers call, on a volume that is a folder."""
    run, _ = first
    (tmp_path / "models").mkdir()
    shutil.copytree(run.path, tmp_path / "models" / "demo", ignore=lambda *_: ["data"])
    run = Run(tmp_path / "models" / "demo")
    (tmp_path / "samples").symlink_to(first[0].data)
    refined = run.submission("best_epoch_1_refined")
    with read_submission(refined) as submission:
        before = {name: submission.read(name, (12, 20)) for name in submission.ids}
    with pytest.raises(UserError, match=r"--overrides takes infer\.\* and refine\.\* here"):
        refining.parts(tmp_path, "demo", "best", "samples", "train.epochs=2", 3)
    asked, parts = refining.parts(tmp_path, "demo", "best", "samples", "", 3)
    assert parts == [(0, 3), (3, 4)]
    pieces = [refining.refine_part(tmp_path, asked, *part, workers=1) for part in parts]
    assert pieces == [refining.refine_part(tmp_path, asked, *part, workers=1) for part in parts]  # none made again
    refining.merge(tmp_path, asked, pieces)
    assert "4 models refined; 2 parts merged" in capsys.readouterr().out
    with read_submission(tmp_path / "results" / "demo" / refined.name) as submission:
        for name, model in before.items():
            np.testing.assert_allclose(submission.read(name, (12, 20)), model, rtol=1e-4)
    assert len(json.loads(rows_path(refined).read_text())) == 4 and not run.pieces.exists()


@pytest.mark.slow
def test_intervals_of_refined_models_are_calibrated_on_validation_samples(first, tmp_path, capsys, caplog, monkeypatch):
    run, _ = first
    caplog.set_level("INFO", logger="jax_inversion")
    out = tmp_path / "refined.npz"
    arguments = ["--ckpt", str(run.path), "--data", str(run.data), "--out", str(out), "--intervals", "0.8"]
    assert refine_main(arguments) == 2 and "calibrated on validation samples, 20 or more" in capsys.readouterr().err
    for module in (intervals, calibration):
        monkeypatch.setattr(module, "FEWEST", 8)
    assert refine_main(arguments) == 0 and "11 validation samples refined: MAPE" in caplog.text
    kept = run.prior("best_epoch_1").with_name("intervals_best_epoch_1.npz")
    assert kept.is_file() and not list(kept.parent.glob("calibrating*"))
    lower, upper = bounds_paths(out)
    with read_submission(out) as models, read_submission(lower) as low, read_submission(upper) as high:
        for name in models.ids:
            model, least, most = (each.read(name, (12, 20)) for each in (models, low, high))
            assert (least <= model).all() and (model <= most).all() and (most - least).mean() > 0.05
    assert score_main(["--truth", str(run.data / "truth"), "--submission", str(out), "--survey", str(run.config),
                       "--intervals"]) == 0  # fmt: skip
    assert "intervals of 80 %" in capsys.readouterr().out
    assert refine_main([*arguments[:-1], "0.99"]) == 2 and "calibrated for levels to" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert export_main(["--ckpt", str(run.path), "--out", "small.npz", "--refined-intervals"]) == 0
    arguments[1:6:4] = "small.npz", "again.npz"
    assert refine_main(arguments) == 0 and Path("again_lower.npz").is_file()
    assert refine_main([*arguments, "--refine.noise", "0.02"]) == 2
    assert "calibrated for other settings of [refine]" in capsys.readouterr().err


@pytest.mark.slow
def test_the_report_tells_of_refining_and_of_intervals_and_the_run_is_listed(
    first, tmp_path, monkeypatch, capsys, caplog
):
    run, _ = first
    assert "<h2>Intervals" not in run.report.read_text()  # its validation samples are too few
    copy = Run(tmp_path / "runs" / "<b>")
    shutil.copytree(run.path, copy.path)
    for module in (intervals, calibration):
        monkeypatch.setattr(module, "FEWEST", 8)
    settings = [*SETTINGS, "--infer.intervals", "0.5,0.8", "--refine.intervals", "true"]
    submission = run.submission("best_epoch_1").read_bytes()
    assert main(["--config", str(PRESET), "--run", str(copy.path), *settings]) == 0
    assert copy.submission("best_epoch_1").read_bytes() == submission  # intervals are of it, not in it
    for name in ("ensemble", "refined"):
        found = json.loads(copy.scores.read_text())[name]["intervals"]
        assert [one["level"] for one in found] == [0.5, 0.8] and found[0]["width"] < found[1]["width"]
        assert all(0 <= band["coverage"] <= 1 and band["error"] >= 0 for one in found for band in one["bands"])
        assert (copy.figures / f"intervals_{name}.png").is_file()
    text = copy.report.read_text()
    assert "<td>refined, 80 %</td>" in text and "Cells within by depth, ensemble:" in text
    assert "of 4 samples were refined" in text and "marine-s1-00000002" in text and "refined worst" in text
    page = copy.path.parent / "index.html"
    assert f"all runs: {page}" in capsys.readouterr().out and len(copy.read_sittings()) == 2
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "config.toml").write_text("no toml")
    (tmp_path / "runs" / "broken" / "scores.json").write_bytes(b"\xff")
    (tmp_path / "runs" / "broken" / "sittings.jsonl").write_bytes(b"\xff")
    monkeypatch.chdir(tmp_path)
    assert report_main([]) == 0
    listed = page.read_text()
    assert "<td>scores.json is damaged</td>" in listed and '<a href="%3Cb%3E/report.html">' in listed
    assert f"{100 * json.loads(copy.scores.read_text())['refined']['mape']:.2f} %" in listed
    assert report_main([str(copy.path)]) == 2 and "is a run itself" in capsys.readouterr().err
    assert report_main(["nowhere"]) == 2 and "no runs in it" in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_file_predicts_and_refines_as_its_run_does(first, tmp_path, caplog, capsys, monkeypatch):
    run, _ = first
    monkeypatch.chdir(tmp_path)
    assert export_main(["--ckpt", str(run.path), "--out", "small.npz", "--refine.prior-samples", "24"]) == 0
    assert "next: python -m jax_inversion.infer --ckpt small.npz" in capsys.readouterr().out
    assert "without intervals: intervals are calibrated on validation samples" in caplog.text
    with np.load("small.npz", allow_pickle=False) as file:
        assert {array.dtype.name for array in map(file.get, file.files)} <= {"float16", "float32", "int8", "uint8"}
    mine, theirs = (jax_inversion.load(spec) for spec in ("small.npz", run.path))
    assert mine.config.data.root == "" and mine.survey == theirs.survey
    name = min(path.name for path in (run.data / "test").iterdir() if path.is_dir())
    gathers = read_gathers(Sample(name, run.data / "test" / name), theirs.survey)
    start, expected = (each.predict(gathers).velocity_km_s for each in (mine, theirs))
    np.testing.assert_allclose(start, expected, rtol=2e-3)
    found, wanted = (jax_inversion.refine(each, gathers, expected) for each in (mine, theirs))
    np.testing.assert_allclose(found.velocity_km_s, wanted.velocity_km_s, rtol=0.02)
    assert infer_main(["--ckpt", "small.npz", "--data", str(run.data), "--out", "out.npz"]) == 0
    assert infer_main(["--ckpt", "small.npz", "--data", str(run.data)]) == 0
    assert Path("runs/small/submission_small.npz").read_bytes() != b"" and not list(tmp_path.glob("*.refining"))
    assert infer_main(["--ckpt", "small.npz", "--data", str(run.data), "--out", "seen.npz", "--qc"]) == 0
    assert len(list(Path("seen_qc").glob("*.png"))) == 4
    found, wanted = (
        json.loads(quality_path(path).read_text())["samples"][name]["misfit"]
        for path in (Path("seen.npz"), run.submission("best_epoch_1"))
    )
    assert found == pytest.approx(wanted, rel=0.02)
    assert jax_inversion.quality(mine, gathers, start).misfit == pytest.approx(found, rel=0.02)
    assert infer_main(["--ckpt", "small.npz"]) == 2 and "give --data DIR" in capsys.readouterr().err


@pytest.mark.slow
def test_training_starts_from_a_model_file_and_goes_on(first, tmp_path, capsys, monkeypatch):
    run, _ = first
    monkeypatch.chdir(tmp_path)
    start = restore(run.path)
    model_file.write(Path("small.npz"), start, {})
    rng = np.random.default_rng(0)
    survey = start.config.survey
    for k in range(12):
        velocity = rng.uniform(1.5, 4.5, survey.model_shape)
        write_sample(Path("mine/train"), f"s{k}", survey, 0.01 * rng.standard_normal(survey.gathers_shape), velocity)
    arguments = ["--from", "small.npz", "--data", "mine", "--train.learning-rate", "1e-12", "--train.weight-decay", "0"]
    assert train_main(arguments) == 0
    tuned = jax_inversion.load("runs/small_tuned")
    assert tuned.config.data.source == "folders" and tuned.config.train.start == "small.npz"
    gathers = read_gathers(Sample("s3", Path("mine/train/s3")), survey)
    found, expected = (each.predict(gathers).members for each in (tuned, jax_inversion.load("small.npz")))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    export = ["--ckpt", "runs/small_tuned", "--out", "both.npz", "--with"]
    assert export_main([*export, str(run.path)]) == 0  # whose baselines the model file rounded
    assert export_main([*export, "small.npz", "--share", "0.25"]) == 0
    both = jax_inversion.load("both.npz")
    assert both.restored.name == "both" and both.config.total_members == 2 * tuned.config.total_members
    weights = scipy.special.softmax(both.restored.logits)
    np.testing.assert_allclose(weights[-start.config.total_members :].sum(), 0.25, rtol=1e-6)
    np.testing.assert_allclose(both.predict(gathers).members, np.concatenate([expected] * 2), rtol=2e-3)
    np.testing.assert_allclose(both.predict(gathers).velocity_km_s, tuned.predict(gathers).velocity_km_s, rtol=2e-3)
    shifted = {name: array + 1 for name, array in (start.base or {}).items()}
    model_file.write(Path("other.npz"), dataclasses.replace(start, base=shifted), {})
    assert export_main([*export, "other.npz"]) == 2
    assert "other.npz: their networks correct different baselines (" in capsys.readouterr().err
    model_file.write(Path("louder.npz"), dataclasses.replace(start, std=2 * start.std), {})
    assert export_main([*export, "louder.npz"]) == 2 and "in different ways" in capsys.readouterr().err
    assert export_main([*export, "small.npz", "--share", "1"]) == 2 and "between 0 and 1" in capsys.readouterr().err
    assert export_main([*export[:-1], "--share", "0.3"]) == 2 and "give --with CKPT" in capsys.readouterr().err
    assert train_main([*arguments, "--train.epochs", "2"]) == 0 and tuned.restored.epoch == 1
    assert jax_inversion.load("runs/small_tuned/latest").restored.epoch == 2
    assert train_main([*arguments[2:], "--config", str(PRESET), "--run", "runs/small_tuned"]) == 2
    assert "cannot go on with another" in capsys.readouterr().err
    assert train_main(["--data", "mine"]) == 2 and "--from CKPT" in capsys.readouterr().err
    wider = [*arguments, "--run", "runs/wider", "--model.width", "16"]
    other = ["--from", "small.npz", "--config", str(PRESET), "--survey.peak-hz", "12", "--run", "runs/other"]
    assert train_main([*other, "--data", "mine"]) == 2
    assert (
        "know another survey; what differs is peak_hz" in capsys.readouterr().err
        and not Path("runs/other/store").exists()
    )
    unknown = ["--config", str(PRESET), "--run", "runs/x", "--data.source", "simulated", "--simulate.geology", "marin"]
    assert train_main([*unknown, "--simulate.train-count", "2"]) == 2
    assert "error: geology 'marin' is unknown; there are" in capsys.readouterr().err
    assert train_main(wider) == 2 and "small.npz: the checkpoint belongs to another model" in capsys.readouterr().err


@pytest.mark.slow
def test_own_and_simulated_samples_are_mixed_and_the_run_goes_on(tmp_path, capsys, caplog, monkeypatch):
    caplog.set_level("INFO", logger="jax_inversion")
    monkeypatch.chdir(tmp_path)
    survey, rng = configs.load(PRESET).survey, np.random.default_rng(0)
    for k in range(8):
        velocity = rng.uniform(1.5, 4.5, survey.model_shape)
        write_sample(Path("mine/train"), f"s{k}", survey, 0.01 * rng.standard_normal(survey.gathers_shape), velocity)
    arguments = ["--config", str(PRESET), "--data", "mine", "--data.source", "mixed", "--simulate.train-count", "12"]
    assert train_main([*arguments, "--run", "parts", "--train.epochs", "1"]) == 0
    assert train_main([*arguments, "--run", "parts", "--train.epochs", "2"]) == 0
    assert "going on after step" in caplog.text and restore(Path("parts/latest")).epoch == 2
    store = stored_samples(jax_inversion.load("parts")).store
    assert store.parts == (8, 12) and store.ids[0] == "s0" and "-s0-" in store.ids[8]
    assert train_main([*arguments, "--run", "parts", "--simulate.train-count", "10"]) == 2
    assert "another simulate.train_count 12 -> 10" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda raw: raw[: len(raw) // 2], "not a whole model file"),
        (lambda raw: b"", "not a whole model file"),
        (lambda raw: raw.replace(b"meta.npy", b"mate.npy"), "not a whole model file"),
    ],
)
def test_a_damaged_model_file_is_refused(first, tmp_path, capsys, damage, words):
    run, _ = first
    path = tmp_path / "small.npz"
    model_file.write(path, restore(run.path), {})
    path.write_bytes(damage(path.read_bytes()))
    assert infer_main(["--ckpt", str(path), "--data", str(run.data)]) == 2
    told = capsys.readouterr().err
    assert f"error: {path}: {words}" in told and told.count("\n") == 1


@pytest.mark.slow
def test_a_model_file_whose_contents_changed_is_refused(first, tmp_path):
    path = tmp_path / "small.npz"
    model_file.write(path, restore(first[0].path), {})
    with np.load(path) as file:
        contents = dict(file)
    np.savez(path, **contents | {"logits": contents["logits"] + 1})
    with pytest.raises(UserError, match="do not match their checksum"):
        model_file.read(path)


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
    coarse = [*arguments, *SETTINGS, "--refine.spacing-m", "20"]
    assert main(coarse) == 2 and "refine.spacing_m 20 leaves fewer than 3 cells" in capsys.readouterr().err
    nobody = [*arguments, "--refine.on", "true", "--refine.hold-out", "9"]
    assert main(nobody) == 2 and "refine.hold_out is shot 9; the survey has 2" in capsys.readouterr().err
    (tmp_path / "data" / "train").mkdir(parents=True)
    assert main([*arguments, "--data", str(tmp_path / "data")]) == 2
    assert "no samples in it" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main([*arguments[:2], "--run", str(tmp_path / "file")]) == 2
    assert "is a file" in capsys.readouterr().err
