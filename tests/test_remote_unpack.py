"""Zip files of samples: unpacked once, mended when run again; nothing in an archive escapes, fills or stops."""

import os
import zipfile

import pytest

from jax_inversion import files
from jax_inversion.errors import RunError, UserError
from jax_inversion.remote import unpack as module
from jax_inversion.remote.unpack import unpack

MODEL, GATHER = "data/train/abc/vp_model.npy", "data/train/abc/receiver_data_src_1.npy"


@pytest.fixture
def archive(tmp_path):
    return make(tmp_path / "train.zip", {MODEL: b"12345678", GATHER: b"1234"})


def make(path, entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def found(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


RIGHT = {"abc/vp_model.npy": b"12345678", "abc/receiver_data_src_1.npy": b"1234"}


def test_files_are_unpacked_once_and_without_strays(tmp_path):
    strays = ("__MACOSX/train/abc/._vp_model.npy", "data/README.txt", "top.npy", "a/.hidden/x.npy")
    evil = ("data/../evil/x.npy", "../x.npy", "/x.npy", "/etc/x.npy", "..\\up\\x.npy", "c/../../x.npy")
    path = make(tmp_path / "t.zip", {MODEL: b"12345678", GATHER: b"1234"} | dict.fromkeys((*strays, *evil), b"1"))
    assert unpack(path, tmp_path / "vol" / "train") == 1
    assert found(tmp_path / "vol" / "train") == RIGHT
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.zip", "vol"]
    before = (tmp_path / "vol/train/abc/vp_model.npy").stat().st_mtime_ns
    assert unpack(path, tmp_path / "vol" / "train") == 1
    assert (tmp_path / "vol/train/abc/vp_model.npy").stat().st_mtime_ns == before


def test_paths_of_windows_are_read(tmp_path):
    assert unpack(make(tmp_path / "t.zip", {"train\\abc\\vp_model.npy": b"1"}), tmp_path / "out") == 1
    assert found(tmp_path / "out") == {"abc/vp_model.npy": b"1"}


def test_files_of_other_contents_are_replaced_and_leftovers_cleared(tmp_path, archive):
    out = tmp_path / "out" / "abc"
    (out / ".vp_model.npy.k3_x.partial").mkdir(parents=True)  # of a killed run
    (out / "vp_model.npy").write_bytes(b"x2345678")  # as long as it should be
    (out / "receiver_data_src_1.npy").write_bytes(b"12")
    assert unpack(archive, tmp_path / "out") == 1
    assert found(tmp_path / "out") == RIGHT and sorted(os.listdir(out)) == sorted(n[4:] for n in RIGHT)


def refusal(path, out):
    with pytest.raises(UserError) as caught:
        unpack(path, out)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def test_what_is_wrong_with_an_archive_is_said(tmp_path, archive):
    out = tmp_path / "out"
    (tmp_path / "half.zip").write_bytes(b"PK\x03\x04")
    assert "not a whole zip file" in refusal(tmp_path / "half.zip", out)
    assert "no such file; zip files there: half.zip, train.zip" in refusal(tmp_path / "whole.zip", out)
    assert "no <sample id>/<name>.npy in it" in refusal(make(tmp_path / "none.zip", {"a.txt": b""}), out)
    two = make(tmp_path / "two.zip", {"train/a/x.npy": b"1", "test/a/x.npy": b"2"})
    assert "two files for a/x.npy, train/a/x.npy and test/a/x.npy" in refusal(two, out)
    os.mkfifo(tmp_path / "pipe.zip")
    assert "is a named pipe" in refusal(tmp_path / "pipe.zip", out)
    assert not out.exists()


def flagged(path, local, central, change):
    """Change a field of the first entry: in the entry itself and in the archive's directory."""
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        change(data, data.index(signature) + offset)
    path.write_bytes(data)
    return path


def test_an_encrypted_archive_is_refused(tmp_path, archive):
    def encrypt(data, at):
        data[at] |= 1

    assert "vp_model.npy is encrypted" in refusal(flagged(archive, 6, 8, encrypt), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_method_is_refused(tmp_path, archive):
    def other(data, at):
        data[at] = 99

    assert "is damaged" in refusal(flagged(archive, 8, 10, other), tmp_path / "out")


def test_a_damaged_file_is_named_and_not_written(tmp_path, archive):
    archive.write_bytes(archive.read_bytes().replace(b"12345678", b"12345679", 1))
    assert f"{MODEL} is damaged (Bad CRC-32" in refusal(archive, tmp_path / "out")
    assert found(tmp_path / "out") == {}


def test_gigantic_archives_are_refused_before_the_work(tmp_path, archive, monkeypatch):
    def huge(data, at):
        data[at : at + 4] = (2**31).to_bytes(4, "little")

    path = flagged(make(tmp_path / "huge.zip", {MODEL: b"1"}), 22, 24, huge)
    assert "would have 2.1 GB; a sample's file has at most 1.1 GB" in refusal(path, tmp_path / "out")
    monkeypatch.setattr(files, "_free", lambda path: 11)
    with pytest.raises(RunError, match="out: needs 12 bytes of disk space, 11 bytes are free"):
        unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_entry_longer_than_it_says_is_damaged(tmp_path, monkeypatch):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(MODEL, bytes(10**7))

    def small(data, at):
        data[at : at + 4] = (1000).to_bytes(4, "little")

    assert "is damaged" in refusal(flagged(path, 22, 24, small), tmp_path / "out")
    assert found(tmp_path / "out") == {} and module.LARGEST > 3_021_728
