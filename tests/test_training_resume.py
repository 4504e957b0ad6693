"""The real front door: killed, stopped, resumed, refused, diverged."""

import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from tiny_run import SURVEY, tiny_config, write_samples

from jax_inversion import config as configs
from jax_inversion.data.loader import batches
from jax_inversion.data.store import Store
from jax_inversion.train import main
from jax_inversion.training import Diverged, check_run, fit, read_metrics, restore, split
from jax_inversion.training import checkpoints as checkpoint_files

EPOCHS, STEPS = 6, 3  # of 4 samples


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """Data, a preset and a run never interrupted. All runs are of that preset, and so share one compilation."""
    room = tmp_path_factory.mktemp("training")
    compile_into(str(room / "cache"))
    write_samples(room / "data")
    configs.save(tiny_config(train={"epochs": EPOCHS}), room / "tiny.toml")
    assert main(command(room, "whole")) == 0
    yield room
    compile_into(None)


def compile_into(cache):
    jax.config.update("jax_compilation_cache_dir", cache)
    compilation_cache.reset_cache()


def command(room, run, *more):
    return ["--config", str(room / "tiny.toml"), "--data", str(room / "data"), "--run", str(room / run), *more]


def start_and_signal(room, run, number, after):
    """Run the front door in a process of its own and signal it as soon as the checkpoint ``after`` is there."""
    settings = {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(room / "cache"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "jax_inversion.train", *command(room, run)],
        env=os.environ | settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    while not (room / run / "checkpoints" / after).exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(number)
    return process.wait(), process.stdout.read()


def weights(run):
    found = restore(run)
    return {"params": found.params, "ema": found.ema, "batch_stats": found.batch_stats, "logits": found.logits}


@pytest.mark.slow
def test_killed_and_stopped_runs_end_with_the_weights_of_one_never_interrupted(room, capfd):
    code, said = start_and_signal(room, "broken", signal.SIGKILL, "epoch_2")
    assert code == -signal.SIGKILL, said
    code, said = start_and_signal(room, "broken", signal.SIGTERM, "epoch_4")
    assert code == 1 and "going on after step" in said and "SIGTERM: saving after this step" in said, said
    assert "run the same command again to go on" in said and "Traceback" not in said
    assert main(command(room, "broken")) == 0
    assert "going on after step" in capfd.readouterr().err
    for name in ("latest", "best", f"epoch_{EPOCHS}"):
        jax.tree.map(np.testing.assert_array_equal, weights(room / "broken" / name), weights(room / "whole" / name))

    def validations(run):
        return [line for line in read_metrics(room / run) if "validation/mape" in line]

    assert len(validations("whole")) == EPOCHS and validations("broken") == validations("whole")


def test_a_run_leaves_config_metrics_and_checkpoints(room):
    run = room / "whole"
    assert configs.load(run / "config.toml") == configs.load(room / "tiny.toml")
    expected = ["best", "latest", *(f"epoch_{k}" for k in range(2, EPOCHS + 1, 2))]
    assert checkpoint_files.list_checkpoints(run) == expected
    latest, lines = restore(run / "latest"), read_metrics(run)
    assert latest.step == EPOCHS * STEPS and latest.epoch == EPOCHS and latest.survey == SURVEY.with_interval(4e-3)
    scores = [line["validation/mape"] for line in lines if "validation/mape" in line]
    assert restore(run).metrics["validation/mape"] == min(scores) == latest.metrics["best_mape"]
    training = [line for line in lines if "train/loss" in line]
    names = {"step", "epoch", "learning_rate", "samples_per_s", "train/mape", "train/physics", "train/grad_norm/1"}
    assert names <= training[0].keys() and training[-1]["step"] == EPOCHS * STEPS
    assert np.isclose(sum(latest.metrics[f"ensemble/weight/{k}"] for k in range(2)), 1)


def test_a_finished_run_says_so_and_stays_as_it_is(room, capsys):
    before = (room / "whole" / "metrics.jsonl").read_text()
    assert main(command(room, "whole")) == 0
    assert f"finished, {EPOCHS * STEPS} steps" in capsys.readouterr().err
    assert (room / "whole" / "metrics.jsonl").read_text() == before


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("--model.embedding", "32", "model.embedding 16 -> 32"),
        ("--ensemble.members", "3", "ensemble.members 2 -> 3"),
        ("--preprocess.scaling", "trace", "preprocess.scaling 'global' -> 'trace'"),
        ("--train.batch-size", "2", "train.batch_size 4 -> 2"),
        ("--train.spacing-m", "20", "train.spacing_m 0.0 -> 20.0"),
        ("--data.validation-fraction", "0.5", "data.validation_fraction 0.25 -> 0.5"),
    ],
)
def test_another_model_or_data_is_refused_before_anything_is_written(room, capsys, option, value, named):
    before = (room / "whole" / "config.toml").read_text()
    assert main(command(room, "whole", option, value)) == 2
    said = capsys.readouterr().err
    assert f"a run cannot go on with another {named}" in said and said.count("\n") == 1
    assert (room / "whole" / "config.toml").read_text() == before


def test_what_the_weights_do_not_depend_on_may_change_and_is_said(room, capsys):
    ids = packed_like(room).ids
    config = configs.load(room / "tiny.toml", ["--train.epochs", "20", "--infer.smoothing-m", "3"])
    check_run(room / "whole", config, ids)
    assert f"train.epochs {EPOCHS} -> 20; infer.smoothing_m 0.0 -> 3.0" in capsys.readouterr().err


def test_other_samples_are_refused(room, tmp_path, capsys):
    write_samples(tmp_path / "data", count=12)
    arguments = command(room, "whole")
    arguments[arguments.index("--data") + 1] = str(tmp_path / "data")
    assert main([*arguments, "--train.epochs", "20"]) == 2
    assert "cannot go on with other samples" in capsys.readouterr().err
    assert len(packed_like(room)) == 16  # the run's store is as it was


def test_a_wrong_preset_key_data_folder_or_missing_data_is_one_line(room, tmp_path, capsys):
    assert main(command(room, "other", "--train.epoch", "3")) == 2
    assert "unknown key train.epoch; did you mean 'epochs'?" in capsys.readouterr().err
    assert main(["--config", str(room / "tiny.toml"), "--run", str(tmp_path / "run")]) == 2
    assert "no data: give --data DIR" in capsys.readouterr().err
    assert main([*command(room, "other"), "--data", str(tmp_path / "none")]) == 2
    assert not (room / "other").exists()


def test_a_loss_that_is_not_finite_stops_the_run_and_names_step_and_samples(room):
    store = packed_like(room)
    samples = split(store, 0.25, 0)
    config = configs.load(room / "tiny.toml")

    def plan():
        return iter(batches(store, samples.train, batch_size=4, members=2, seed=config.train.seed))

    first = next(plan())["index"]
    bad = next(row for row in samples.train if row not in first)
    store.gathers[bad] = np.nan
    step, index = next((k + 1, batch["index"]) for k, batch in enumerate(plan()) if bad in batch["index"])
    with pytest.raises(Diverged) as caught:
        fit(config, samples, room / "diverged")
    message = str(caught.value)
    assert step > 1 and f"step {step}: the loss is nan" in message and "there is no checkpoint yet" in message
    for member, rows in enumerate(index):
        names = f"member {member}: {', '.join(store.ids[row] for row in rows)}"
        assert (names in message) == (bad in rows)
    assert checkpoint_files.list_checkpoints(room / "diverged") == []


def test_a_run_that_diverges_later_keeps_and_names_its_last_good_checkpoint(room, monkeypatch):
    store = packed_like(room)
    run, save = room / "diverged_later", checkpoint_files.save

    def save_then_spoil(run, names, *rest):
        save(run, names, *rest)
        if "epoch_2" in names:
            store.gathers[:] = np.nan

    monkeypatch.setattr(checkpoint_files, "save", save_then_spoil)
    with pytest.raises(Diverged, match=rf"the last good checkpoint is {run}/latest; look at"):
        fit(configs.load(room / "tiny.toml"), split(store, 0.25, 0), run)
    assert checkpoint_files.list_checkpoints(run) == ["best", "latest", "epoch_2"]
    latest = restore(run / "latest")
    assert latest.step == 2 * STEPS and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(latest.params))


def test_where_no_sample_validates_training_samples_are_scored_and_it_is_said(room, capsys):
    samples = split(packed_like(room), 0.0, 0)
    assert "no sample validates: scores are those of 16 training samples" in capsys.readouterr().err
    np.testing.assert_array_equal(samples.validation, samples.train)


def packed_like(room) -> Store:
    """The finished run's store, in memory and writable."""
    folder = room / "whole" / "store" / "train"
    meta = json.loads((folder / "store.json").read_text())
    gathers, velocities = np.load(folder / "gathers.npy"), np.load(folder / "velocities.npy")
    return Store(tuple(meta["ids"]), gathers, velocities, SURVEY.with_interval(4e-3), meta["std"])
