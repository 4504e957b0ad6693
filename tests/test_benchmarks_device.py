"""The command for an hour with a card: nothing that fails goes unsaid, or keeps the rest from being measured."""

import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import REPO


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(REPO)
    from benchmarks import card, device

    return card, device


@pytest.fixture
def gpu_sh(tmp_path) -> Callable[..., subprocess.CompletedProcess]:
    """``gpu.sh`` of a Python that notes what it is asked for, and fails at what holds the word ``fails``."""
    stub = tmp_path / "python"
    noting = f'echo "$@" >>{tmp_path}/asked; echo "table of $3"'
    stub.write_text(f'#!/bin/sh\n{noting}\ncase "$*" in *$FAILS*) exit 3; esac\n')
    stub.chmod(0o755)

    def run(*steps: str, fails: str = "nothing") -> subprocess.CompletedProcess:
        env = os.environ | {"PYTHON": str(stub), "OUT": str(tmp_path), "FAILS": fails}
        script = str(REPO / "benchmarks/gpu.sh")
        return subprocess.run(["bash", script, *steps], env=env, capture_output=True, text=True, check=False)

    return run


def asked(folder: Path) -> list[str]:
    lines = (folder / "asked").read_text().splitlines()
    return [line.split()[-1].removeprefix("tests/") for line in lines if "need_gpu" not in line]


def test_every_step_is_tried_whatever_becomes_of_others(gpu_sh, tmp_path):
    done = gpu_sh(fails="train")
    assert done.returncode == 1 and "failed: train" in done.stderr
    assert asked(tmp_path) == ["test_gpu.py", "check", "train", "infer", "simulate"]
    assert (tmp_path / "device_simulate.md").read_text() == "table of simulate\n"


def test_a_step_by_name_and_tests_that_fail(gpu_sh, tmp_path):
    assert gpu_sh("infer").returncode == 0 and asked(tmp_path) == ["infer"]
    done = gpu_sh("check", fails="test_gpu")
    assert done.returncode == 1 and asked(tmp_path)[1:] == ["test_gpu.py", "check"]
    assert "chekc is not one of" in gpu_sh("chekc").stderr


def test_nothing_is_measured_without_a_card(gpu_sh, tmp_path):
    assert gpu_sh(fails="need_gpu").returncode == 3 and asked(tmp_path) == []


def test_what_fails_is_a_row_of_the_table(benchmarks, capsys):
    _, device = benchmarks

    def rows(count):
        yield "first", "1 ms"
        raise MemoryError(f"{count} GiB")

    assert not device.told(partial(rows, 200))
    assert capsys.readouterr().out.splitlines() == ["| first | 1 ms |", "| rows 200 | failed: 200 GiB |"]
    assert device.told(partial(iter, [("all", "is well")]))


def test_gathers_other_than_the_cpus_are_a_failure(benchmarks, capsys, monkeypatch):
    card, device = benchmarks
    right = np.ones((2, 3, 4), np.float32)
    monkeypatch.setattr(card, "models", lambda count: np.zeros((count, 2, 2)))
    monkeypatch.setattr(card.subprocess, "run", lambda command, **_: np.save(f"{command[-1]}/gathers.npy", right))
    for found, good in ((right * (1 + 5e-6), True), (right * (1 + 3e-5), False), (right * np.nan, False)):
        monkeypatch.setattr(card, "gathers_of", lambda _, found=found: found)
        assert device.told(partial(card.agreement)) is good
    assert capsys.readouterr().out.count("failed: gathers are") == 2


def test_peaks_and_ways_of_running_members(benchmarks):
    card, device = benchmarks
    assert card.peak_of("NVIDIA A100-SXM4-80GB").bf16 == 312 and card.peak_of("NVIDIA A10").tf32 == 62
    assert card.percent(card.peak_of("cpu").memory) == "? %"
    whole, apart = device.three("challenge"), device.three("challenge", True)
    assert [len(whole.groups), len(apart.groups)] == [1, 3] and whole.total_members == apart.total_members == 3
