"""Submissions: what is written is read back; each kind of malformed file is refused in one line that says why."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jax_inversion.errors import UserError
from jax_inversion.inference.submission import SubmissionWriter, check_place, check_submission, read_submission
from jax_inversion.survey import Survey

SURVEY = Survey(
    nx=3, nz=4, spacing_m=10.0, nt=5, dt_s=1e-3, source_x_m=(0.0, 20.0), source_z_m=0.0, receiver_x_m=(0.0, 10.0, 20.0),
    receiver_z_m=0.0,
)  # fmt: skip
GOOD = np.arange(12.0).reshape(3, 4) / 7 + 1.5


def _write(path: Path, models: dict[str, np.ndarray]) -> Path:
    with SubmissionWriter(path) as writer:
        for sample_id, model in models.items():
            writer.write(sample_id, model)
    return path


def _refusal(path: Path, ids: tuple[str, ...] = ("a", "b")) -> str:
    with pytest.raises(UserError) as caught:
        check_submission(path, ids, SURVEY)
    assert "\n" not in str(caught.value)
    return str(caught.value)


IDS = st.text(st.characters(exclude_characters="/\\\0", exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


@given(ids=st.lists(IDS, unique=True, min_size=1, max_size=4), data=st.data())
def test_round_trip(tmp_path_factory, ids, data):
    values = hnp.arrays(np.float64, SURVEY.model_shape, elements=st.floats(0.3, 10.0))
    models = {sample_id: data.draw(values) for sample_id in ids}
    path = _write(tmp_path_factory.mktemp("round") / "s.npz", models)
    checked = check_submission(path, ids, SURVEY)
    assert checked.samples == len(ids) and checked.high_km_s == max(model.max() for model in models.values())
    with read_submission(path) as submission:
        assert submission.ids == tuple(ids)
        for sample_id in ids:
            np.testing.assert_array_equal(submission.read(sample_id, SURVEY.model_shape), models[sample_id])


def test_numpy_reads_it_as_the_challenge_does(tmp_path):
    path = _write(tmp_path / "s.npz", {"01BOBp": GOOD.astype(np.float32), "file": GOOD})
    with np.load(path, allow_pickle=False) as archive:
        assert sorted(archive.files) == ["01BOBp", "file"]
        assert archive["01BOBp"].dtype == np.float64
        np.testing.assert_array_equal(archive["file"], GOOD)


def test_numpys_own_file_passes(tmp_path):
    np.savez(tmp_path / "plain.npz", a=GOOD, b=GOOD)
    np.savez_compressed(tmp_path / "small.npz", a=GOOD, b=np.asfortranarray(GOOD))
    check_submission(tmp_path / "plain.npz", ("a", "b"), SURVEY)
    check_submission(tmp_path / "small.npz", ("a", "b"), SURVEY)


def test_equal_models_give_equal_bytes(tmp_path):
    first, second = (_write(tmp_path / name, {"a": GOOD}).read_bytes() for name in ("1.npz", "2.npz"))
    assert first == second


def test_where_it_comes_from_is_kept_in_the_comment(tmp_path):
    for name, order in (("1.npz", ("b", "a")), ("2.npz", ("a", "b"))):
        with SubmissionWriter(tmp_path / name, {key: [1.5, None, "é"] for key in order}) as writer:
            writer.write("x", GOOD)
    with read_submission(tmp_path / "1.npz") as submission:
        assert submission.made_from == {"a": [1.5, None, "é"], "b": [1.5, None, "é"]}
    with read_submission(_write(tmp_path / "3.npz", {"x": GOOD})) as submission:
        assert submission.made_from is None
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()
    with np.load(tmp_path / "1.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["x"], GOOD)
    with zipfile.ZipFile(tmp_path / "3.npz", "a") as archive:
        archive.comment = b"[1]"  # another program's
    with read_submission(tmp_path / "3.npz") as submission:
        assert submission.made_from is None
    with pytest.raises(ValueError, match="65535"):
        SubmissionWriter(tmp_path / "4.npz", {"a": "x" * 70_000})


def test_what_cannot_be_written_is_said_before_the_work(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="is a folder; right is a file"), SubmissionWriter(tmp_path / "folder"):
        raise AssertionError
    with pytest.raises(UserError, match="the id is not UTF-8"), SubmissionWriter(tmp_path / "s.npz") as writer:
        writer.write("s\udce9", GOOD)
    with pytest.raises(UserError, match=r"s.txt: a submission is called \*.npz"):
        check_place(tmp_path / "s.txt")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_an_error_leaves_no_file_and_keeps_the_old_one(tmp_path):
    path = _write(tmp_path / "s.npz", {"a": GOOD})
    before = path.read_bytes()
    with pytest.raises(UserError, match="sample b: 1 of 12 predicted values"), SubmissionWriter(path) as writer:
        writer.write("a", GOOD)
        writer.write("b", np.where(np.arange(12).reshape(3, 4) == 5, np.nan, GOOD))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["s.npz"]


def test_one_sample_is_not_written_twice(tmp_path):
    with pytest.raises(ValueError, match="sample a is written twice"), SubmissionWriter(tmp_path / "s.npz") as writer:
        writer.write("a", GOOD)
        writer.write("a", GOOD)


def test_missing_and_extra_ids(tmp_path):
    message = _refusal(_write(tmp_path / "s.npz", {"a": GOOD, "zz": GOOD}))
    assert "1 missing (b)" in message and "1 extra (zz)" in message and "exactly the 2" in message


def test_many_missing_ids_stay_one_line(tmp_path):
    message = _refusal(_write(tmp_path / "s.npz", {"a": GOOD}), tuple(f"id{k}" for k in range(50)))
    assert "50 missing (id0, id1, id10, id11, id12, ...)" in message


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (GOOD.T, ("shape is (4, 3)", "right is (3, 4)")),
        (GOOD[None], ("shape is (1, 3, 4)", "right is (3, 4)")),
        (GOOD.astype(np.float32), ("dtype is float32", "right is float64")),
        (np.where(GOOD < 1.6, np.nan, GOOD), ("1 of 12 values are NaN or infinite",)),
        (np.where(GOOD < 1.7, -np.inf, GOOD), ("2 of 12 values are NaN or infinite",)),
        (np.full((3, 4), None, object), ("dtype is object", "right is float64")),
        (GOOD.astype(">f8"), ("dtype is >f8", "right is float64")),
        (1000 * GOOD, ("velocity from 1500 to", "km/s; plausible is 0.3 to 10 km/s")),
        (GOOD - 1.5, ("velocity from 0 to", "plausible is 0.3 to 10 km/s")),
    ],
)
def test_a_wrong_array_is_named(tmp_path, model, words):
    np.savez(tmp_path / "s.npz", a=GOOD, b=model, allow_pickle=True)
    entries = {name: data for name, data in _entries(tmp_path / "s.npz").items() if name != "allow_pickle.npy"}
    _archive(tmp_path / "s.npz", entries)
    message = _refusal(tmp_path / "s.npz")
    assert "sample b" in message and all(word in message for word in words)


def _entries(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _archive(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("entry", [b"", b"text", _npy(GOOD)[:-8], _npy(GOOD)[:40], b"\x80\x04K\x01."])
def test_a_damaged_entry_is_named(tmp_path, entry):
    message = _refusal(_archive(tmp_path / "s.npz", {"a.npy": _npy(GOOD), "b.npy": entry}))
    assert "sample b: damaged entry" in message


def test_a_flipped_byte_is_noticed(tmp_path):
    path = _write(tmp_path / "s.npz", {"a": GOOD, "b": GOOD})
    data = bytearray(path.read_bytes())
    data[data.index(GOOD[0, 0].tobytes())] ^= 1
    path.write_bytes(data)
    assert "sample a: damaged entry" in _refusal(path)


def test_an_encrypted_entry_is_named(tmp_path):
    path = _write(tmp_path / "s.npz", {"a": GOOD})
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flags, in the entry and in the directory
        data[data.index(signature) + offset] |= 1
    path.write_bytes(data)
    assert "sample a: the entry is encrypted" in _refusal(path, ("a",))


def test_an_entry_with_more_behind_its_values_is_named(tmp_path):
    path = _archive(tmp_path / "s.npz", {"a.npy": _npy(GOOD) + bytes(10**6)})
    assert "sample a: damaged entry (damaged .npy file: more bytes in it than the 96" in _refusal(path, ("a",))


def test_a_huge_header_takes_no_memory(tmp_path):
    entry = b"\x93NUMPY\x02\x00" + (2**32 - 1).to_bytes(4, "little") + b"{"
    assert "a header of 4294967295 bytes" in _refusal(_archive(tmp_path / "s.npz", {"a.npy": entry}), ("a",))


def test_a_huge_promise_takes_no_memory(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 10**9)})
    message = _refusal(_archive(tmp_path / "s.npz", {"a.npy": header.getvalue()}), ("a",))
    assert "shape is (1000000000, 1000000000)" in message


@pytest.mark.parametrize("keep", [0, 10, 200, -1])
def test_a_truncated_file(tmp_path, keep):
    path = _write(tmp_path / "s.npz", {"a": GOOD, "b": GOOD})
    path.write_bytes(path.read_bytes()[:keep])
    assert "not a readable .npz, or a truncated one" in _refusal(path)


def test_not_there_and_not_an_archive(tmp_path):
    assert "no such file" in _refusal(tmp_path / "none.npz")
    assert "is a folder" in _refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe.npz")
    assert "is a named pipe" in _refusal(tmp_path / "pipe.npz")
    np.save(tmp_path / "s.npy", GOOD)
    assert "not a readable .npz" in _refusal(tmp_path / "s.npy")


def test_stray_and_repeated_entries(tmp_path):
    assert "holds 'readme.txt'" in _refusal(_archive(tmp_path / "s.npz", {"a.npy": _npy(GOOD), "readme.txt": b"hi"}))
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("a.npy", _npy(GOOD))
        archive.writestr("a.npy", _npy(GOOD))
    assert "holds 'a.npy' more than once" in _refusal(tmp_path / "t.npz", ("a",))
