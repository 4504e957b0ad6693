"""Files appear whole or not at all, whoever is killed or refused when; what the system refuses is one line."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from jax_inversion import files
from jax_inversion.cli import front_door
from jax_inversion.errors import RunError, UserError
from jax_inversion.files import check_writable, fault_of, need_space, recover, write_aside

REPO = Path(__file__).resolve().parent.parent


def python(code: str, *arguments: str, under: tuple[str, ...] = (), **options) -> subprocess.Popen:
    command = [*under, sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, cwd=REPO, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


WRITER = """
import sys
from jax_inversion.files import write_aside
with write_aside(sys.argv[1]) as aside:
    aside.write_text("new")
    print("writing", flush=True)
    sys.stdin.read()
"""


def test_a_killed_writers_leftover_is_cleared_by_the_next_and_a_living_ones_is_not(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    killed, living = (python(WRITER, str(target), stdin=subprocess.PIPE) for _ in range(2))
    for process in (killed, living):
        assert process.stdout.readline() == "writing\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert target.read_text() == "old" and len(names(tmp_path)) == 3
    with write_aside(target) as aside:
        aside.write_text("newer")
    assert target.read_text() == "newer" and len(names(tmp_path)) == 2  # the living one's is still there
    living.communicate()
    assert target.read_text() == "new" and names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("renamed", [0, 1])
def test_a_folder_survives_a_kill_between_its_two_renames(tmp_path, renamed):
    target, holder = tmp_path / "store", tmp_path / ".store.ab12.partial"
    (holder / "replaced").mkdir(parents=True)
    (holder / "replaced" / "x").write_text("old")
    if renamed == 0:
        (holder / "store").mkdir()
        (holder / "store" / "x").write_text("new")
    recover(target)
    assert (target / "x").read_text() == ("old" if renamed else "new") and names(tmp_path) == ["store"]


def test_only_its_own_leftovers_are_cleared(tmp_path):
    for name in (".a.k1.partial", ".a.b.k1.partial", ".[a].k1.partial"):
        (tmp_path / name).mkdir()
    recover(tmp_path / "a")
    assert names(tmp_path) == [".[a].k1.partial", ".a.b.k1.partial"]
    recover(tmp_path / "[a]")
    assert names(tmp_path) == [".a.b.k1.partial"]


def test_without_locks_a_replacement_is_finished_all_the_same(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    (tmp_path / ".store.k1.partial" / "replaced").mkdir(parents=True)
    with write_aside(tmp_path / "store") as aside:
        assert names(tmp_path)[1:] == ["store"]
        aside.mkdir()
    assert names(tmp_path) == ["store"]


def test_many_threads_may_write_one_file(tmp_path):
    def write(k):
        with write_aside(tmp_path / "a") as aside:
            aside.write_text(str(k) * 1000)

    threads = [threading.Thread(target=write, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = (tmp_path / "a").read_text()
    assert len(text) == 1000 and len(set(text)) == 1 and names(tmp_path) == ["a"]


def test_a_pipe_or_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="pipe: is a named pipe"), write_aside(tmp_path / "pipe"):
        pass
    with pytest.raises(UserError, match="null: is a device"):
        check_writable("/dev/null")
    with pytest.raises(UserError, match="pipe: is a named pipe"):
        files.digest(tmp_path / "pipe")


@pytest.mark.parametrize(
    ("path", "folder", "reason"),
    [
        ("folder", False, "is a folder; right is a file"),
        ("file", True, "is a file; right is a folder"),
        ("file/x", False, "is a file, or lies below one; right is a folder"),
        ("file/x/y", True, "is a file, or lies below one; right is a folder"),
        ("n" * 300, False, "the name is too long"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_work(tmp_path, path, folder, reason):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=reason) as caught:
        check_writable(tmp_path / path, folder)
    assert str(caught.value).startswith(str(tmp_path / path)[:200]) and "\n" not in str(caught.value)
    check_writable(tmp_path / "new" / "x.npz")
    check_writable(tmp_path / "folder", folder=True)
    check_writable(tmp_path / "file")
    assert names(tmp_path) == ["file", "folder"] and not names(tmp_path / "folder")


def test_space_is_asked_for_in_bytes(tmp_path):
    need_space(tmp_path / "new" / "x", 1000)
    with pytest.raises(RunError, match=r"x: needs 1000000000.0 GB of disk space, [\d.]+ GB are free"):
        need_space(tmp_path / "new" / "x", 10**18)


def test_the_systems_refusals_name_the_path_that_was_meant(tmp_path):
    inside = str(tmp_path / ".s.npz.ab_12.partial" / "s.npz")
    full = fault_of(OSError(errno.ENOSPC, "No space left on device", inside))
    assert isinstance(full, RunError) and str(full).startswith(f"{tmp_path}/s.npz: no space left on the disk (")
    moved = fault_of(OSError(errno.EISDIR, "Is a directory", inside, None, str(tmp_path / "s.npz")))
    assert str(moved) == f"{tmp_path}/s.npz: is a folder; right is a file" and isinstance(moved, UserError)
    try:
        raise ValueError("of a library") from OSError(errno.EROFS, "Read-only file system", "x")
    except ValueError as error:
        assert str(fault_of(error)) == "x: the file system is read-only"
    assert isinstance(fault_of(ValueError("write: No space left on device [28]")), RunError)
    assert fault_of(ValueError("a bug")) is None and fault_of(OSError("odd")) is None


def test_digests(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.digest(tmp_path / "x") == files.digest_bytes(b"a", b"bc") == known
    assert files.digest_json({"a": (1,), "b": None}) == files.digest_json({"b": None, "a": [1]})


def door(work):
    return front_door(lambda argv: work())


def test_doors_end_in_one_line(tmp_path, capsys):
    def write_to_a_folder():
        with write_aside(tmp_path) as aside:
            aside.write_text("x")

    def fill_the_disk():
        with write_aside(tmp_path / "x"):
            raise OSError(errno.ENOSPC, "No space left on device")

    assert door(write_to_a_folder)([]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}: is a folder; right is a file\n"
    assert door(fill_the_disk)([]) == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/x: no space left on the disk (")
    assert names(tmp_path) == []
    assert door(lambda: print("sample s\udce9a"))([]) == 0
    assert capsys.readouterr().out == "sample s\\udce9a\n"
    with pytest.raises(ZeroDivisionError):
        door(lambda: 1 / 0)([])


SPEAKER = """
import sys
from jax_inversion.cli import front_door
@front_door
def main(argv):
    for k in range(10**int(sys.argv[1])):
        print("line", k)
raise SystemExit(main())
"""


@pytest.mark.parametrize("lines", ["2", "5"])
def test_a_reader_that_has_gone_is_no_traceback(lines):
    read, write = os.pipe()
    os.close(read)  # as `| head` does after its lines
    done = subprocess.run([sys.executable, "-c", SPEAKER, lines], cwd=REPO, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def test_an_output_that_takes_no_more_is_one_line():
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-c", SPEAKER, "2"], cwd=REPO, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b"error: no space left on the disk\n")


PACKER = """
import sys
from jax_inversion import files
from jax_inversion.cli import front_door
from jax_inversion.config import PreprocessConfig
from jax_inversion.data.folders import find_samples
from jax_inversion.data.store import pack
from tests.test_data_store import SURVEY
files._free = lambda path: None  # as where the free space is not known
@front_door
def main(argv):
    pack(find_samples(sys.argv[1], None, SURVEY), SURVEY, sys.argv[2], PreprocessConfig(dt_s=1e-3))
raise SystemExit(main())
"""
SMALL = 'mount -t tmpfs -o size=12k tmpfs "$0" && exec "$@"'


def test_a_disk_that_fills_while_packing_is_one_line(tmp_path):
    """On a file system of 12 kB. Writing into a hole of a file there would end the process by SIGBUS."""
    from test_data_store import SURVEY, write_sample

    for k in range(12):
        gathers = np.random.default_rng(k).standard_normal(SURVEY.gathers_shape)
        write_sample(tmp_path / "data", f"s{k}", SURVEY, gathers, np.full(SURVEY.model_shape, 2.0))
    (tmp_path / "small").mkdir()
    unshare = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-rm"]
    if subprocess.run([*unshare, "bash", "-c", SMALL, str(tmp_path / "small"), "true"], capture_output=True).returncode:
        pytest.skip("no small file system can be mounted here")
    under = (*unshare, "bash", "-c", SMALL, str(tmp_path / "small"))
    process = python(PACKER, str(tmp_path / "data"), str(tmp_path / "small" / "store"), under=under)
    _, said = process.communicate()
    assert process.returncode == 1 and said.splitlines()[-1].startswith(f"error: {tmp_path}/small/store")
    assert "no space left on the disk" in said and "Traceback" not in said


WALKER = """
import os, sys
from jax_inversion.cli import front_door
from jax_inversion.files import check_writable, write_aside
from jax_inversion.data.folders import check_samples, find_samples
from tests.test_data_store import SURVEY
def write(path):
    with write_aside(path) as aside:
        aside.write_text("x")
def read(path):
    check_samples(find_samples(path, None, SURVEY), SURVEY, velocity=True)
os.chdir(sys.argv[1])
for work, path in ((check_writable, "ro/x"), (write, "ro/x"), (write, "ro/new/x"), (read, "data"), (read, "closed")):
    assert front_door(lambda argv: work(path))([]) == 2
"""


def test_without_permission_a_door_ends_in_one_line_and_code_2(tmp_path):
    from test_data_store import SURVEY, write_sample

    for folder in ("data", "closed"):
        for name in "ab":
            write_sample(tmp_path / folder, name, SURVEY, np.ones(SURVEY.gathers_shape), np.full(SURVEY.model_shape, 2))
    (tmp_path / "ro").mkdir()
    rights = {"ro": 0o555, "data/a": 0, "closed": 0}
    for name, mode in rights.items():
        (tmp_path / name).chmod(mode)
    drop = "-dac_override,-dac_read_search"
    under = ("setpriv", f"--bounding-set={drop}", f"--inh-caps={drop}") if os.getuid() == 0 else ()
    try:
        process = python(WALKER, str(tmp_path), under=under)
    except FileNotFoundError:
        pytest.skip("root, and no setpriv here to give up its rights")
    _, said = process.communicate()
    for name in rights:
        (tmp_path / name).chmod(0o755)
    lines = [line for line in said.splitlines() if not line.startswith("checking")]
    assert process.returncode == 0 and "Traceback" not in said
    assert lines[:3] == [f"error: {path}: permission denied" for path in ("ro/x", "ro/x", "ro/new")]
    assert "1 of 2 samples are bad" in lines[3] and "data/a/" in lines[4] and "cannot be read" in lines[4]
    assert "closed" in lines[-1] and lines[-1].endswith("permission denied")
