"""Figures of a run: the lines of metrics.jsonl, and a wandb that may fail in any way without harm."""

import io
import sys
import types

import numpy as np
import pytest
from PIL import Image

from jax_inversion.training.tracking import METRICS, Tracker, read_metrics


class FakeRun:
    def __init__(self):
        self.logged, self.finished = [], None

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self, exit_code):
        self.finished = exit_code


class FakeWandb(types.ModuleType):
    def __init__(self):
        super().__init__("wandb")
        self.runs, self.settings, self.fault = [], [], None

    def Settings(self, **settings):  # noqa: N802
        return settings

    def Image(self, image):  # noqa: N802
        return image.size

    def init(self, **settings):
        if self.fault:
            raise self.fault
        self.settings.append(settings)
        self.runs.append(FakeRun())
        return self.runs[-1]


@pytest.fixture
def wandb(monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
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


def test_a_wandb_that_fails_is_said_once_and_training_goes_on(tmp_path, wandb, capsys):
    wandb.fault = OSError("no space left\nand more")
    with tracker(tmp_path) as first:
        first.log(1, 0.5, {"train/loss": 1.0})
        first.figure(1, "predictions/a", lambda: 1 / 0)  # not drawn where nobody looks
    assert capsys.readouterr().err == f"wandb is off from here on (OSError: no space left); {METRICS} goes on\n"
    wandb.fault = None
    with tracker(tmp_path, step=1) as second:
        second.figure(1, "predictions/a", lambda: 1 / 0)
        second.log(2, 1.0, {"train/loss": 0.5})
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert len(read_metrics(tmp_path)) == 2
