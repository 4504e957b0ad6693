"""Kills: at every renaming, and real ones at any moment, with groups and a base: nothing is lost, nothing differs."""

import functools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np
import one_process
import pytest
from tiny_network import tiny_network
from tiny_run import tiny_config, write_samples

from jax_inversion import config as configs
from jax_inversion.simulation import filling
from jax_inversion.train import train
from jax_inversion.training import list_checkpoints, read_metrics, restore
from jax_inversion.training.checkpoints import newest_meta

EPOCHS = 4
# Sections of the presets: two groups on bases of their own, each member with its own samples; other samples, made
# meanwhile, in each epoch; what a base leaves of the gathers, of other samples too.
CASES = {
    "groups": {
        "base": {"regression": "linear", "spacing_m": 20.0},
        "ensemble": {
            "members": 1,
            "resample": "bootstrap",
            "group": [{"members": 2, "base": "profile", "train": {"optimiser": "muon", "ema_decay": 0.0}}],
        },
    },
    "fresh": {
        "data": {"source": "simulated"},
        "simulate": {"train_count": 16, "fresh_every": 1, "geology": "layered", "workers": 1},
        "simulator": {"spacing_m": 10.0, "background_km_s": "none"},
        "base": {"regression": "linear", "spacing_m": 20.0},
    },
    "residual": {
        "data": {"source": "simulated", "validation_fraction": 0.25},
        "simulate": {"train_count": 16, "fresh_every": 2, "geology": "layered", "workers": 1},
        "simulator": {"spacing_m": 10.0, "background_km_s": "none"},
        "base": {"regression": "linear", "spacing_m": 20.0},
        "model": {"name": "traveltime", "columns": 2, "width": 8, "heads": 2, "layers": 1, "residual": True},
        "ensemble": {"members": 1},
    },
}


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """Data, a preset and a run never interrupted for either case, and what each renaming of its checkpoints left."""
    room = tmp_path_factory.mktemp("kills")
    write_samples(room / "data")
    with tiny_network(), samples_made_here():
        for case, sections in CASES.items():
            settings = tiny_config(train={"epochs": EPOCHS}, **sections)
            configs.save(settings, room / f"{case}.toml")
            with pytest.MonkeyPatch.context() as patch:
                photograph_renamings(patch, room, case)
                train(settings, room / "data", room / f"{case}_whole")
        yield room


@contextmanager
def samples_made_here():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filling, "run", one_process.run)
        yield


def photograph(run, to):
    """Copy ``run`` at one moment: again from the start where the thread that makes samples renames something in it."""
    for _ in range(100):
        try:
            shutil.copytree(run, to)
        except shutil.Error:
            shutil.rmtree(to)
        else:
            return
    raise AssertionError(f"{run} does not hold still")


def photograph_renamings(patch, room, case):
    """Copy the run just before and just after each renaming of a checkpoint: all that a kill there would leave."""
    run, count = room / f"{case}_whole", 0

    def photographed(rename):
        def renamed(old, new, *rest):
            nonlocal count
            if "step_" not in str(new):
                return rename(old, new, *rest)
            photograph(run, room / f"{case}_kill_{count:02d}_before")
            rename(old, new, *rest)
            photograph(run, room / f"{case}_kill_{count:02d}_after")
            count += 1

        return renamed

    for module, name in ((os, "replace"), (Path, "rename")):
        patch.setattr(module, name, photographed(getattr(module, name)))


@functools.cache
def whole_facts(run):
    return facts(run)


def facts(run):
    """What a run amounts to: names, steps, and every weight of every checkpoint; its validations."""
    found = {name: restore(run / name) for name in list_checkpoints(run)}
    weights = {name: (r.step, r.metrics, r.params, r.ema, r.batch_stats, r.logits) for name, r in found.items()}
    return weights, [line for line in read_metrics(run) if "validation/mape" in line]


def assert_same(run, whole):
    jax.tree.map(np.testing.assert_array_equal, facts(run), whole_facts(whole))
    there = sorted(os.listdir(run / "checkpoints"))
    assert there == sorted(os.listdir(whole / "checkpoints"))  # no leftovers either


@pytest.mark.parametrize("case", CASES)
def test_a_kill_at_any_renaming_loses_nothing_and_ends_alike(room, case):
    kills = sorted(room.glob(f"{case}_kill_*"))
    assert len(kills) >= 2 * (EPOCHS + 1)
    for kill in kills[:: max(1, len(kills) // 4)] + kills[-2:]:
        meta = newest_meta(kill)
        train(configs.load(room / f"{case}.toml"), room / "data", kill)
        assert_same(kill, room / f"{case}_whole")
        assert meta is None or meta.step <= newest_meta(kill).step


def start(room, case, run):
    """The front door in a process of its own."""
    paths = [str(Path(__file__).parent), *sys.path]
    arguments = ["--config", room / f"{case}.toml", "--data", room / "data", "--run", room / run]
    return subprocess.Popen(
        [sys.executable, Path(__file__).with_name("tiny_network.py"), *map(str, arguments)],
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_processes_killed_and_stopped_end_with_the_weights_of_one_never_interrupted(room, case):
    run, chance = room / f"{case}_broken", random.Random(case)
    process = start(room, case, run.name)
    while newest_meta(run) is None and process.poll() is None:
        time.sleep(0.002)
    time.sleep(chance.uniform(0, 0.2))
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, process.stdout.read()
    process, said = start(room, case, run.name), ""
    for line in process.stdout:
        said += line
        if "going on after step" in line:
            process.send_signal(signal.SIGTERM)
    assert said.count("going on after step") == 1  # each line is said once
    assert process.wait() == 1 and "SIGTERM: saving after this step" in said and "Traceback" not in said
    assert "run the same command again to go on" in said
    train(configs.load(room / f"{case}.toml"), room / "data", run)
    assert_same(run, room / f"{case}_whole")
