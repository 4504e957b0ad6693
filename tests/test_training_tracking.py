"""Figures of a run: the lines of metrics.jsonl, and a wandb that may fail in any way without harm."""

import io
import json
import sys
import types

import numpy as np
import pytest
from PIL import Image

from jax_inversion.errors import UserError
from jax_inversion.training.tracking import METRICS, Tracker, effective_mode, read_metrics


class FakeRun:
    def __init__(self):
        self.logged, self.finished = [], None

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self, exit_code):
        self.finished = exit_code


class FakeWandb(types.ModuleType):
    no_network = False

    def __init__(self):
        super().__init__("wandb")
        self.runs, self.settings, self.fault, self.forgotten = [], [], None, 0

    def Settings(self, **settings):  # noqa: N802
        return settings

    def Image(self, image):  # noqa: N802
        return image.size

    def teardown(self):
        self.forgotten += 1

    def init(self, **settings):
        if self.fault:
            raise self.fault
        if self.no_network and settings["mode"] == "online":
            raise TimeoutError("no such host")
        self.settings.append(settings)
        self.runs.append(FakeRun())
        return self.runs[-1]


@pytest.fixture
def wandb(monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    return fake


def tracker(run, step=0, mode="auto"):
    return Tracker(run, step, mode=mode, project="p", config={"train": {"epochs": 2}})


def png():
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_lines_past_the_restored_step_and_torn_ones_are_dropped(tmp_path):
    with tracker(tmp_path, mode="off") as first:
        for step in (1, 2, 3):
            first.log(step, step / 2, {"train/loss": 1.0 / step})
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"step": 3, "epo')
    with tracker(tmp_path, step=2, mode="off") as again:
        again.log(3, 1.5, {"train/loss": 0.25})
    assert [(line["step"], line["train/loss"]) for line in read_metrics(tmp_path)] == [(1, 1.0), (2, 0.5), (3, 0.25)]
    assert read_metrics(tmp_path / "nowhere") == []


def test_auto_is_offline_without_a_key_and_a_resumed_run_keeps_its_id(tmp_path, wandb, monkeypatch):
    with tracker(tmp_path) as first:
        first.log(1, 0.5, {"train/loss": 1.0})
        first.figure(1, "predictions/a", png)
    assert wandb.runs[0].logged[0] == (1, {"step": 1, "epoch": 0.5, "train/loss": 1.0})
    assert wandb.runs[0].logged[1] == (1, {"predictions/a": (6, 4)}) and wandb.runs[0].finished == 0
    monkeypatch.setenv("WANDB_API_KEY", "k")
    with pytest.raises(ValueError, match="training's own"), tracker(tmp_path):
        raise ValueError("training's own")
    assert [s["mode"] for s in wandb.settings] == ["offline", "online"] and wandb.runs[1].finished == 1
    assert wandb.settings[0]["id"] == wandb.settings[1]["id"] and wandb.settings[0]["dir"] == str(tmp_path)


def test_a_wandb_that_fails_is_said_once_and_training_goes_on(tmp_path, wandb, caplog):
    wandb.fault = OSError("no space left\nand more")
    with tracker(tmp_path) as first:
        first.log(1, 0.5, {"train/loss": 1.0})
        first.figure(1, "predictions/a", lambda: 1 / 0)  # not drawn where nobody looks
    assert caplog.messages == [f"wandb is off from here on (OSError: no space left); {METRICS} goes on"]
    wandb.fault = None
    with tracker(tmp_path, step=1) as second:
        second.figure(1, "predictions/a", lambda: 1 / 0)
        second.log(2, 1.0, {"train/loss": 0.5})
    assert "ZeroDivisionError" in caplog.text
    assert len(read_metrics(tmp_path)) == 2


def test_going_online_fails_over_to_offline(tmp_path, wandb, monkeypatch, caplog):
    wandb.no_network = True
    monkeypatch.setenv("WANDB_API_KEY", "k")
    with tracker(tmp_path) as first:
        first.log(1, 0.5, {"train/loss": 1.0})
    (run,), (settings,) = wandb.runs, wandb.settings
    assert settings["mode"] == "offline" and settings["resume"] is None and run.finished == 0
    assert run.logged == [(1, {"step": 1, "epoch": 0.5, "train/loss": 1.0})]
    assert wandb.forgotten == 1  # or wandb would call the run's id in use
    assert "wandb cannot go online (TimeoutError: no such host); offline, send it later: wandb sync" in caplog.text


@pytest.mark.parametrize(
    ("chosen", "environment", "mode"),
    [
        ("auto", {}, "offline"),
        ("auto", {"WANDB_API_KEY": "k"}, "online"),
        ("auto", {"WANDB_API_KEY": "k", "WANDB_MODE": "offline"}, "offline"),
        ("auto", {"WANDB_API_KEY": "k", "WANDB_MODE": "dryrun"}, "offline"),
        ("auto", {"WANDB_API_KEY": "k", "WANDB_MODE": "disabled"}, "off"),
        ("auto", {"WANDB_API_KEY": "k", "WANDB_DISABLED": "true"}, "off"),
        ("auto", {"WANDB_API_KEY": "k", "WANDB_DISABLED": "false"}, "online"),
        ("auto", {"WANDB_MODE": "online"}, "online"),
        ("online", {"WANDB_MODE": "offline"}, "offline"),
        ("offline", {"WANDB_MODE": "online"}, "offline"),
        ("off", {"WANDB_MODE": "online", "WANDB_API_KEY": "k"}, "off"),
    ],
)
def test_the_environment_decides_over_auto_and_never_lets_out_more_than_was_chosen(
    wandb, monkeypatch, chosen, environment, mode
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert effective_mode(chosen) == mode


def test_damaged_figures_are_left_out_with_a_word(tmp_path, caplog):
    good = {"step": 1, "epoch": 0.5, "train/loss": 1.0}
    other = {"step": 2, "epoch": 1.0, "train/loss": 0.5, "note": "?", "list": [1]}
    damaged = [b"\xff\x00\x80", b"[1, 2]", b"7", b'{"epoch": 1.0}', b'{"step": "x", "epoch": 1}', b"[" * 100_000]
    lines = [json.dumps(good).encode(), *damaged, b"", json.dumps(other).encode(), b'{"step": 3, "ep']
    (tmp_path / METRICS).write_bytes(b"\n".join(lines))
    assert read_metrics(tmp_path) == [good, {"step": 2, "epoch": 1.0, "train/loss": 0.5}]
    assert "6 of 8 lines are damaged and left out" in caplog.text
    with tracker(tmp_path, step=2, mode="off") as again:
        again.log(3, 1.5, {"train/loss": 0.25})
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 3]


def test_a_folder_in_the_place_of_the_figures_is_refused_by_who_writes_and_told_by_who_reads(tmp_path, caplog):
    (tmp_path / METRICS).mkdir()
    assert read_metrics(tmp_path) == [] and "not readable" in caplog.text
    with pytest.raises(UserError, match="is a folder; right is a file"):
        tracker(tmp_path, mode="off")


def test_the_real_wandb_records_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    with tracker(tmp_path) as first:
        first.log(1, 0.5, {"validation/loss": 1.0})
        first.figure(1, "predictions/a", png)
        assert first.wandb is not None and first.wandb.offline
    (recorded,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert recorded.stat().st_size
