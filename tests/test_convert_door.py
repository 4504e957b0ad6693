"""The door convert: every format into folders and out of them, going on after a kill, and what it refuses."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from formats_tiny import SURVEY, samples

from jax_inversion import __main__, config
from jax_inversion.convert import main
from jax_inversion.data.folders import check_samples, find_samples, read_gathers, read_velocity, write_sample
from jax_inversion.inference.submission import SubmissionWriter

COUNT = 3
GATHERS, MODELS = samples(COUNT)


@pytest.fixture
def preset(tmp_path):
    """A preset with the tiny survey."""
    config.save(config.Config(survey=SURVEY), tmp_path / "tiny.toml")
    return tmp_path / "tiny.toml"


@pytest.fixture
def shards(tmp_path):
    np.save(tmp_path / "data1.npy", GATHERS)
    np.save(tmp_path / "model1.npy", 1000 * MODELS.transpose(0, 2, 1)[:, None])
    return tmp_path / "data1.npy"


def run(*words):
    return main([str(word) for word in words])


def refused(capsys, *words):
    """The one line with which the door refuses."""
    capsys.readouterr()
    assert run(*words) == 2
    *_, line = (said := capsys.readouterr().err).splitlines()  # before it there may be the progress that was made
    assert line.startswith("error: ") and said.count("error") == 1 and "Traceback" not in said
    return line


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def same(folder, ids, survey=SURVEY):
    found = find_samples(folder, None, survey)
    assert [sample.id for sample in found] == ids and check_samples(found, survey, velocity=True) == found
    for k, sample in enumerate(found):
        np.testing.assert_array_equal(read_gathers(sample, survey), GATHERS[k])
        np.testing.assert_allclose(read_velocity(sample, survey), MODELS[k], rtol=1e-6)
    return True


def test_openfwi_into_folders_and_out_again(tmp_path, shards, preset, capsys):
    out = tmp_path / "set"
    assert run("--from", "openfwi", "--in", shards, "--out", out, "--survey", preset, "--prefix", "flatvel-a-") == 0
    assert same(out, [f"flatvel-a-data1-0000{k}" for k in range(COUNT)])
    assert config.load(out / "survey.toml").survey == SURVEY
    assert f"{out}/train: 3 samples; their survey is {out}/survey.toml" in capsys.readouterr().out
    assert run("--to", "openfwi", "--in", out, "--out", tmp_path / "back", "--shard", 2) == 0
    for name, original in (("data", GATHERS), ("model", np.load(tmp_path / "model1.npy"))):
        stored = np.concatenate([np.load(tmp_path / "back" / f"{name}{k}.npy") for k in (1, 2)])
        np.testing.assert_allclose(stored, original, rtol=1e-6)
    assert (tmp_path / "back" / "samples2.txt").read_text() == "flatvel-a-data1-00002\n"


def test_segy_out_of_folders_and_in_again(tmp_path, caplog):
    pytest.importorskip("segyio")
    for k, name in enumerate("abc"):
        write_sample(tmp_path / "set" / "test", name, SURVEY, GATHERS[k], MODELS[k])
    config.save(config.Config(survey=SURVEY), tmp_path / "set" / "survey.toml")
    assert run("--to", "segy", "--in", tmp_path / "set", "--out", tmp_path / "segy") == 0
    files = [tmp_path / "segy" / f"{name}.sgy" for name in "abc"]
    sections = [tmp_path / "segy" / f"{name}_velocity.sgy" for name in "abc"]
    assert sorted((tmp_path / "segy").iterdir()) == sorted([*files, *sections])
    words = ["--from", "segy", "--in", *files, "--velocity", *sections, "--out", tmp_path / "again", "--split", "test"]
    assert run(*words) == 0
    assert same(tmp_path / "again", [*"abc"])
    assert config.load(tmp_path / "again" / "survey.toml").survey == SURVEY
    assert "so assumed: survey.peak_hz 15, survey.v_min_km_s 1.5, survey.v_max_km_s 4.5" in caplog.text


def test_arrays_into_folders(tmp_path, preset):
    path = tmp_path / "line.npz"
    np.savez(path, d=GATHERS.transpose(0, 2, 3, 1), v=1000 * MODELS.transpose(0, 2, 1))
    words = ["--gathers", "d", "--velocity", "v", "--axes", "depth,x", "--gather-axes", "time,receiver,shot"]
    out = tmp_path / "set"
    assert run("--from", "npz", "--in", path, *words, "--units", "m/s", "--out", out, "--survey", preset) == 0
    assert same(out, [f"line-0000{k}" for k in range(COUNT)])


def test_a_submissions_models_go_out(tmp_path, preset):
    with SubmissionWriter(tmp_path / "submission.npz") as writer:
        for k, name in enumerate("ab"):
            writer.write(name, MODELS[k])
    source = tmp_path / "submission.npz"
    assert run("--to", "openfwi", "--in", source, "--out", tmp_path / "shards", "--survey", preset) == 0
    assert sorted(p.name for p in (tmp_path / "shards").iterdir()) == ["model1.npy", "samples1.txt"]
    np.testing.assert_allclose(np.load(tmp_path / "shards" / "model1.npy")[1, 0].T, 1000 * MODELS[1], rtol=1e-6)


def test_what_is_there_is_left_alone_and_what_is_torn_is_made_again(tmp_path, shards, preset):
    words = ["--from", "openfwi", "--in", shards, "--out", tmp_path / "set", "--survey", preset]
    assert run(*words) == 0
    whole = content(tmp_path / "set")
    torn = tmp_path / "set" / "train" / "data1-00001" / "vp_model.npy"
    torn.write_bytes(torn.read_bytes()[:-8])
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "set" / "train" / "data1-00000").iterdir()}
    assert run(*words) == 0
    assert content(tmp_path / "set") == whole
    assert {p: p.stat().st_mtime_ns for p in before} == before


@pytest.mark.slow
def test_a_kill_leaves_whole_samples_and_the_next_run_goes_on(tmp_path, preset):
    count, out = 400, tmp_path / "set"
    gathers, models = samples(count)
    np.save(tmp_path / "data1.npy", gathers)
    np.save(tmp_path / "model1.npy", 1000 * models.transpose(0, 2, 1)[:, None])
    words = ["--from", "openfwi", "--in", tmp_path / "data1.npy", "--out", out, "--survey", preset]
    command = [sys.executable, "-m", "jax_inversion", "import", *map(str, words)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while len(os.listdir(out / "train") if (out / "train").is_dir() else []) < 20:
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = find_samples(out, None, SURVEY)
    assert 0 < len(there) < count and check_samples(there, SURVEY, velocity=True) == there
    assert run(*words) == 0
    assert len(find_samples(out, None, SURVEY)) == count
    assert not [name for name in os.listdir(out / "train") if name.startswith(".")]


def test_the_word_import_opens_the_same_door(capsys):
    with pytest.raises(SystemExit) as ended:
        __main__.main(["import", "--help"])
    assert ended.value.code == 0 and "python -m jax_inversion.convert" in capsys.readouterr().out


def test_samples_with_other_contents_do_not_pass_for_these(tmp_path, shards, preset, capsys):
    words = ["--from", "openfwi", "--in", shards, "--out", tmp_path / "set", "--survey", preset]
    assert run(*words) == 0
    np.save(shards, GATHERS[::-1])
    assert "data1-00000: is there with other contents; give another --out or --prefix" in refused(capsys, *words)
    assert "cannot train and test" in refused(capsys, *words, "--split", "test")
    assert "another survey are there (peak_hz 15.0 -> 20.0)" in refused(capsys, *words, "--survey.peak-hz", "20")


REFUSED = {
    "survey": ([], r"the gathers (shot, time, receiver) are (2, 21, 4), the survey's (5, 1000, 70)"),
    "other settings": (["--train.epochs", "3"], "--train.* has no effect here; --survey.* has"),
    "options of others": (["--axes", "depth,x"], "--axes has no effect with --from openfwi"),
    "prefix": (["--survey", "tiny.toml", "--prefix", "../"], "not a name for a folder"),
    "no such survey": (["--survey", "nowhere.toml"], "nowhere.toml: no such file"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refusals_are_one_line(tmp_path, shards, preset, capsys, monkeypatch, kind):
    words, said = REFUSED[kind]
    monkeypatch.chdir(tmp_path)
    assert said in refused(capsys, "--from", "openfwi", "--in", shards, "--out", tmp_path / "set", *words)
    assert not (tmp_path / "set").exists()


BAD = {
    "NaN": (np.nan, 1.0, "sample data1-00001: gathers: 1 of 168 values are NaN or infinite"),
    "loud": (1e20, 1.0, "an amplitude of 1e+20; plausible is up to 1e+15"),
    "units": (1.0, 1e-3, "velocity from 0.0015"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_samples_are_refused_by_name(tmp_path, preset, capsys, kind):
    value, factor, said = BAD[kind]
    gathers = GATHERS.copy()
    gathers[1, 0, 0, 0] = value
    np.save(tmp_path / "data1.npy", gathers)
    np.save(tmp_path / "model1.npy", 1000 * factor * np.full((COUNT, 1, 8, 6), 1.5))
    line = refused(
        capsys, "--from", "openfwi", "--in", tmp_path / "data1.npy", "--out", tmp_path / "set", "--survey", preset
    )
    assert said in line and (kind != "units" or "are its units m/s, or other ones?" in line)


def test_velocities_beyond_the_surveys_bounds_are_pointed_out(tmp_path, shards, preset, caplog):
    words = ["--from", "openfwi", "--in", shards, "--out", tmp_path / "set", "--survey", preset]
    caplog.set_level("WARNING", logger="jax_inversion")
    assert run(*words, "--survey.v-max-km-s", "4") == 0
    assert "the survey's bounds 1.5 to 4: predictions are clipped there" in caplog.text


def test_two_files_whose_samples_have_one_name_are_refused(tmp_path, preset, capsys):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "data1.npy", GATHERS)
    words = ["--in", tmp_path / "a", tmp_path / "b", "--no-truth", "--out", tmp_path / "set", "--survey", preset]
    assert "two samples would be called data1-00000" in refused(capsys, "--from", "openfwi", *words)


def test_ids_that_lead_elsewhere_are_not_written(tmp_path, preset, capsys):
    with SubmissionWriter(tmp_path / "s.npz") as writer:
        writer.write("../../outside", MODELS[0])
    words = ["--in", tmp_path / "s.npz", "--out", tmp_path / "segy", "--survey", preset]
    assert "sample '../../outside': not a name for a file" in refused(capsys, "--to", "segy", *words)


def test_options_that_would_do_nothing_are_refused(tmp_path, capsys):
    words = ["--to", "segy", "--in", tmp_path, "--out", tmp_path / "out"]
    for option in (["--shard", 3], ["--split", "test"], ["--no-truth"], ["--origin-m", 0]):
        assert f"{option[0]} has no effect with --to segy" in refused(capsys, *words, *option)


def test_headers_and_preset_that_differ_are_refused(tmp_path, capsys):
    pytest.importorskip("segyio")
    from jax_inversion.formats.segy import write_gathers

    write_gathers(tmp_path / "a.sgy", SURVEY, GATHERS[0])
    config.save(config.Config(survey=SURVEY.with_interval(2e-3)), tmp_path / "other.toml")
    words = ["--in", tmp_path / "a.sgy", "--out", tmp_path / "set", "--survey", tmp_path / "other.toml"]
    assert "other.toml: survey.nt is 11, in the files it is 21" in refused(capsys, "--from", "segy", *words)
