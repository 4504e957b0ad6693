"""Sample folders: every fault is named, strays are no samples, and a kill leaves no partial sample."""

import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jax_inversion.data.folders import (
    BadSample,
    Sample,
    check_samples,
    find_samples,
    gather_files,
    read_gathers,
    read_velocity,
    write_sample,
)
from jax_inversion.data.split import is_validation
from jax_inversion.errors import UserError
from jax_inversion.survey import CHALLENGE, Survey

SURVEY = Survey(
    nx=6, nz=8, spacing_m=5.0, nt=21, dt_s=1e-3, source_x_m=(0.0, 25.0), source_z_m=5.0,
    receiver_x_m=(0.0, 10.0, 25.0), receiver_z_m=5.0,
)  # fmt: skip
FIRST = gather_files(SURVEY)[0]


def write(folder, sample_id="a", seed=0, velocity=True):
    rng = np.random.default_rng(seed)
    gathers = rng.standard_normal(SURVEY.gathers_shape).astype(np.float32)
    model = rng.uniform(1.5, 4.5, SURVEY.model_shape).astype(np.float32)
    write_sample(folder, sample_id, SURVEY, gathers, model if velocity else None)
    return gathers, model


def test_what_is_written_is_read_back(tmp_path):
    gathers, model = write(tmp_path, "01BOBpFpr5YkZhAs32")
    (sample,) = find_samples(tmp_path, "train", SURVEY)
    assert sample.id == "01BOBpFpr5YkZhAs32"
    np.testing.assert_array_equal(read_gathers(sample, SURVEY), gathers)
    np.testing.assert_array_equal(read_velocity(sample, SURVEY), model)
    assert np.load(sample.path / "vp_model.npy").dtype == np.float64  # the challenge's layout
    assert np.load(sample.path / FIRST).shape == (21, 3)
    assert sorted(os.listdir(tmp_path)) == [sample.id]  # nothing hidden stays behind


def test_writing_again_replaces_the_sample(tmp_path):
    write(tmp_path, seed=0)
    gathers, _ = write(tmp_path, seed=1, velocity=False)
    (sample,) = find_samples(tmp_path, None, SURVEY)
    np.testing.assert_array_equal(read_gathers(sample, SURVEY), gathers)
    assert not (sample.path / "vp_model.npy").exists()


def test_wrong_shapes_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="gathers are"):
        write_sample(tmp_path, "a", SURVEY, np.zeros((2, 20, 3)), None)
    with pytest.raises(ValueError, match="velocity is"):
        write_sample(tmp_path, "a", SURVEY, np.zeros(SURVEY.gathers_shape), np.ones((8, 6)))
    assert os.listdir(tmp_path) == []


def test_splits_and_flat_folders(tmp_path):
    for name in ("train/b", "train/a", "test/c"):
        write(tmp_path / name[:-2], name[-1])
    assert [s.id for s in find_samples(tmp_path, "train", SURVEY)] == ["a", "b"]
    assert [s.id for s in find_samples(tmp_path, "test", SURVEY)] == ["c"]
    assert [s.id for s in find_samples(tmp_path, None, SURVEY)] == ["a", "b", "c"]
    assert [s.id for s in find_samples(tmp_path / "train", "test", SURVEY)] == ["a", "b"]


def test_hidden_and_stray_entries_are_ignored_with_a_word(tmp_path, caplog):
    caplog.set_level("INFO")
    write(tmp_path)
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "a.png").write_bytes(b"x")
    (tmp_path / ".b.k3.partial" / "b").mkdir(parents=True)
    (tmp_path / "a" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "analysis").mkdir()  # that of a killed `analyze`
    assert [s.id for s in find_samples(tmp_path, None, SURVEY)] == ["a"]
    (said,) = caplog.messages
    assert "ignored 3" in said and "notes.txt" in said and "figures" in said


def test_nothing_there_says_what_was_looked_for(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        find_samples(tmp_path / "none", "train", SURVEY)
    with pytest.raises(UserError, match=f"no samples.*{FIRST}"):
        find_samples(tmp_path, "train", SURVEY)
    write(tmp_path / "train")
    with pytest.raises(UserError, match="no test/"):
        find_samples(tmp_path, "test", SURVEY)


class _Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


def _array(value=0.0, shape=(21, 3), dtype=np.float32):
    array = np.zeros(shape, dtype)
    array.flat[0] = value
    return lambda path: np.save(path, array)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-7])


FAULTS = {
    "missing": (lambda path: path.unlink(), "missing"),
    "empty": (lambda path: path.write_bytes(b""), "truncated"),
    "truncated": (_cut, "truncated"),
    "truncated header": (lambda path: path.write_bytes(path.read_bytes()[:30]), "truncated"),
    "pickled objects": (lambda path: np.save(path, np.array([_Trap()]), allow_pickle=True), "pickled"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps(_Trap())), "a pickle"),
    "text": (lambda path: path.write_text("0.1 0.2"), "not an .npy file"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "is a folder; right is a file"),
    "named pipe": (lambda path: (path.unlink(), os.mkfifo(path)), "is a named pipe; right is a file"),
    "more than it says": (lambda path: path.write_bytes(path.read_bytes() + b"1234"), "more bytes in it than the"),
    "shape": (_array(shape=(3, 21)), r"shape is \(3, 21\); right is \(21, 3\)"),
    "dtype": (_array(dtype=np.float64), "dtype is float64; right is float32"),
    "integers": (_array(dtype=np.int32), "dtype is int32"),
    "NaN": (_array(np.nan), r"1 of 63 values are NaN or infinite \(1 NaN\)"),
    "infinity": (_array(-np.inf), r"1 of 63 values are NaN or infinite \(0 NaN\)"),
    "absurd": (_array(-1e30), r"an amplitude of 1e\+30; plausible is up to 1e\+15"),
}
MODEL_FAULTS = FAULTS | {
    "shape": (_array(2.0, (8, 6), np.float64), r"shape is \(8, 6\); right is \(6, 8\)"),
    "dtype": (_array(2, (6, 8), np.complex64), "dtype is complex64; right is float64 or other real numbers"),
    "integers": (_array(2, (6, 8), np.bool_), "dtype is bool"),
    "absurd": (_array(1e30, (6, 8), np.float64), r"from 0 to 1e\+30 km/s"),
    "NaN": (_array(np.nan, (6, 8), np.float64), "1 of 48 values are NaN"),
    "infinity": (_array(np.inf, (6, 8), np.float64), "1 of 48 values are NaN or infinite"),
    "metres per second": (lambda p: np.save(p, np.full((6, 8), 1500.0)), "1500 to 1500 km/s; plausible is 0.3 to 10"),
    "zero": (_array(3.0, (6, 8), np.float64), "from 0 to 3 km/s"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_of_a_gather_is_named(tmp_path, monkeypatch, fault):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data")
    spoil, reason = FAULTS[fault]
    path = tmp_path / "data" / "a" / gather_files(SURVEY)[1]
    spoil(path)
    with pytest.raises(BadSample, match=reason) as caught:
        read_gathers(Sample("a", path.parent), SURVEY)
    assert "sample a" in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value) and not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("fault", MODEL_FAULTS)
def test_each_fault_of_a_model_is_named(tmp_path, monkeypatch, fault):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data")
    spoil, reason = MODEL_FAULTS[fault]
    path = tmp_path / "data" / "a" / "vp_model.npy"
    spoil(path)
    with pytest.raises(BadSample, match=reason) as caught:
        read_velocity(Sample("a", path.parent), SURVEY)
    assert str(path) in str(caught.value) and not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("kind", ["<f4", ">f8", "<f2", "<i8", "u1"])
def test_models_of_any_real_numbers_are_read_as_float32(tmp_path, kind):
    write(tmp_path)
    model = np.full(SURVEY.model_shape, 2.0)
    model[:, 4:] = 3.0
    np.save(tmp_path / "a" / "vp_model.npy", np.asfortranarray(model.astype(kind)))
    found = read_velocity(Sample("a", tmp_path / "a"), SURVEY)
    assert found.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(found, model)


def test_gathers_of_the_other_byte_order_are_read(tmp_path):
    gathers, _ = write(tmp_path)
    np.save(tmp_path / "a" / FIRST, gathers[0].astype(">f4"))
    np.testing.assert_array_equal(read_gathers(Sample("a", tmp_path / "a"), SURVEY), gathers)


def test_a_silent_sample_is_a_bad_one(tmp_path):
    write_sample(tmp_path, "a", SURVEY, np.zeros(SURVEY.gathers_shape), None)
    with pytest.raises(BadSample, match="amplitudes of all shots are zero"):
        read_gathers(Sample("a", tmp_path / "a"), SURVEY)


@pytest.mark.parametrize("factor", [1e3, 1e-3])
def test_a_sample_in_another_unit_is_named(tmp_path, factor):
    for name in "abcd":
        gathers, model = write(tmp_path, name)
    samples = find_samples(tmp_path, None, SURVEY)
    assert check_samples(samples, SURVEY, velocity=True) == samples
    write_sample(tmp_path, "b", SURVEY, gathers * factor, model)
    with pytest.raises(UserError, match=rf"1 of 4 samples are bad \(mend them\):\n  b: .*{factor:g} times the usual"):
        check_samples(samples, SURVEY, velocity=True)
    assert [s.id for s in check_samples(samples, SURVEY, velocity=True, skip_bad=True)] == ["a", "c", "d"]


def test_an_id_that_is_not_utf8_is_named(tmp_path):
    write(tmp_path)
    os.rename(tmp_path / "a", os.fsencode(tmp_path) + b"/s\xe9a")
    with pytest.raises(UserError, match=r"not UTF-8: 's\\udce9a'"):
        find_samples(tmp_path, None, SURVEY)


@given(st.integers(0, 127), st.binary(min_size=1, max_size=8))
def test_a_damaged_header_is_a_bad_sample_or_harmless(tmp_path_factory, at, junk):
    folder = tmp_path_factory.mktemp("junk")
    write(folder, velocity=False)
    content = bytearray((folder / "a" / FIRST).read_bytes())
    content[at : at + len(junk)] = junk
    (folder / "a" / FIRST).write_bytes(content)
    try:
        assert np.isfinite(read_gathers(Sample("a", folder / "a"), SURVEY)).all()
    except BadSample as bad:
        assert FIRST in str(bad)


def test_all_faults_of_all_samples_are_listed_at_once(tmp_path, caplog):
    for name in "abcd":
        write(tmp_path, name)
    FAULTS["NaN"][0](tmp_path / "a" / FIRST)
    FAULTS["missing"][0](tmp_path / "a" / gather_files(SURVEY)[1])
    MODEL_FAULTS["zero"][0](tmp_path / "a" / "vp_model.npy")
    FAULTS["truncated"][0](tmp_path / "c" / "vp_model.npy")
    (tmp_path / "e").mkdir()  # an empty folder is a sample without its files
    samples = find_samples(tmp_path, None, SURVEY)
    with pytest.raises(UserError) as caught:
        check_samples(samples, SURVEY, velocity=True, hint="--leave-out")
    lines = str(caught.value).splitlines()
    assert lines[0] == "3 of 5 samples are bad (mend them, or leave them out with --leave-out):"
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["a", "a", "a", "c", "e", "e", "e"]
    good = check_samples(samples, SURVEY, velocity=True, skip_bad=True)
    assert [s.id for s in good] == ["b", "d"] and "left out 3 bad of 5" in caplog.text
    assert [s.id for s in check_samples(samples[1:4], SURVEY, velocity=False)] == ["b", "c", "d"]
    with pytest.raises(UserError, match="none is left"):
        check_samples(samples[:1], SURVEY, velocity=True, skip_bad=True)


def test_a_very_long_list_is_cut(tmp_path):
    samples = [Sample(str(k), tmp_path / str(k)) for k in range(150)]
    with pytest.raises(UserError, match=r"and 100 more$"):
        check_samples(samples, SURVEY, velocity=False)


WRITER = """
import sys, time, numpy as np
from tests.test_data_folders import write, SURVEY
if sys.argv[2] == "pause":
    save, count = np.save, 0
    def slow(*args, **kwargs):
        global count
        count += 1
        save(*args, **kwargs)
        if count == 5:  # the second file of the second sample
            print("writing", flush=True)
            time.sleep(60)
    np.save = slow
print("ready", flush=True)
for k in range(10**6):
    write(sys.argv[1], f"s{k:06d}", seed=k)
"""


@pytest.mark.parametrize("wait_s", ["pause", 0.05])
def test_sigkill_while_writing_leaves_only_whole_samples(tmp_path, wait_s):
    folder, repo = tmp_path / "data", os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    command = [sys.executable, "-c", WRITER, str(folder), str(wait_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=repo)
    assert process.stdout.readline() == "ready\n"
    if wait_s == "pause":
        assert process.stdout.readline() == "writing\n"
    else:
        while not folder.is_dir() or len(os.listdir(folder)) < 3:
            time.sleep(0.005)
        time.sleep(wait_s)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    samples = find_samples(folder, None, SURVEY)
    assert check_samples(samples, SURVEY, velocity=True) == samples
    if wait_s == "pause":
        assert [s.id for s in samples] == ["s000000"]
        assert any(name.endswith(".partial") for name in os.listdir(folder))
    write(folder, "s000001", seed=1)  # a second run goes on
    assert "s000001" in [s.id for s in check_samples(find_samples(folder, None, SURVEY), SURVEY, velocity=True)]


def test_the_split_is_a_function_of_id_and_seed_only():
    ids = [f"id{k}" for k in range(4000)]
    side = [is_validation(i, 0.1, 7) for i in ids]
    assert 320 < sum(side) < 480  # 400 expected, 4 standard deviations are 76
    assert [is_validation(i, 0.1, 7) for i in ids] == side
    assert [is_validation(i, 0.1, 8) for i in ids] != side
    assert all(is_validation(i, 0.2, 7) for i, s in zip(ids, side, strict=True) if s)  # a larger fraction only adds
    assert not any(is_validation(i, 0.0, 7) for i in ids)


def test_the_reference_samples_are_good(reference):
    samples = find_samples(reference, "test", CHALLENGE)
    assert [s.id for s in samples] == [f"ref{k:05d}" for k in range(100, 108)]
    assert check_samples(samples[:1], CHALLENGE, velocity=True) == samples[:1]


def test_a_sample_of_another_survey_has_one_line(tmp_path):
    other = dataclasses.replace(SURVEY, source_x_m=tuple(x_m + 3 * SURVEY.spacing_m for x_m in SURVEY.source_x_m))
    write_sample(tmp_path, "x", other, np.ones(other.gathers_shape), np.full(SURVEY.model_shape, 2.0))
    with pytest.raises(UserError, match="1 of 1 samples are bad") as caught:
        check_samples(find_samples(tmp_path, None, SURVEY), SURVEY, velocity=True)
    assert str(caught.value).count("\n") == 1 and "another survey's sample?" in str(caught.value)
