"""A run's folder: its lock, and what its products were made from."""

import subprocess
import sys

import pytest

from jax_inversion.errors import UserError
from jax_inversion.runs import Run

HOLD = """
import sys, time
from pathlib import Path
from jax_inversion.runs import Run
with Run(Path(sys.argv[1])).lock():
    print("locked", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "product").write_text("whole")
    return Run(tmp_path / "run")


def test_a_product_is_there_only_if_made_from_just_this_and_whole(run):
    assert not run.has("it", {"a": 1})
    run.note("it", {"a": 1}, [run.path / "product"])
    assert run.has("it", {"a": 1}) and run.changed("it", {"a": 1}) == []
    assert not run.has("it", {"a": 2}) and run.changed("it", {"a": 2, "b": 0}) == ["a", "b"]
    (run.path / "product").write_text("half")
    assert not run.has("it", {"a": 1})
    (run.path / "product").unlink()
    assert not run.has("it", {"a": 1})


def test_notes_are_of_one_product_each(run):
    run.note("one", {"a": 1}, [])
    run.note("other", {"b": 1}, [run.path / "product"])
    assert run.has("one", {"a": 1}) and run.has("other", {"b": 1}) and not run.has("one", {"b": 1})


@pytest.mark.parametrize("damage", ["", "{", "[1, 2]", '{"it": 3}', "\x00\xff"])
def test_a_damaged_record_means_that_nothing_is_known(run, damage):
    run.note("it", {"a": 1}, [])
    run.provenance.write_text(damage)
    assert not run.has("it", {"a": 1}) and run.changed("it", {"a": 1}) == []
    run.note("it", {"a": 1}, [])
    assert run.has("it", {"a": 1})


def test_the_second_process_is_refused_and_told_who_has_it(run):
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(run.path)], stdout=subprocess.PIPE, text=True)
    assert first.stdout.readline() == "locked\n"
    try:
        with pytest.raises(UserError, match=rf"run: process {first.pid} .* works in this run"), run.lock():
            pass
    finally:
        first.kill()
        first.wait()
        first.stdout.close()
    with run.lock(), run.lock():  # it went with its process; blocks of one process nest
        pass


def test_a_run_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UserError, match="is a file; right is the folder of a run"), Run(tmp_path / "run").lock():
        pass
