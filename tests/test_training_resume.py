"""The real front door with a tiny network: refused, gone on with, finished, diverged, and what it says meanwhile."""

import dataclasses
import logging

import jax
import numpy as np
import pytest
from tiny_network import tiny_network
from tiny_run import SURVEY, tiny_config, write_samples

from jax_inversion import config as configs
from jax_inversion.data.loader import batches
from jax_inversion.data.store import Store
from jax_inversion.errors import UserError
from jax_inversion.runs import Run
from jax_inversion.train import main, open_store, train
from jax_inversion.training import Diverged, check_run, fit, list_checkpoints, read_metrics, restore, split
from jax_inversion.training.resume import refuse_changes, say_changes
from jax_inversion.training.saver import Saver

EPOCHS, STEPS = 4, 3  # of 4 samples


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """Data, a preset and a run never interrupted, without a base."""
    room = tmp_path_factory.mktemp("training")
    write_samples(room / "data")
    configs.save(tiny_config(train={"epochs": EPOCHS}), room / "tiny.toml")
    with tiny_network():
        train(configs.load(room / "tiny.toml"), room / "data", room / "whole")
        yield room


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, logger="jax_inversion")
    return caplog


def command(room, run, *more):
    return ["--config", str(room / "tiny.toml"), "--data", str(room / "data"), "--run", str(room / run), *more]


def in_memory(room) -> Store:
    """The finished run's store, writable."""
    store = open_store(configs.load(room / "tiny.toml"), room / "data", Run(room / "whole"))
    return dataclasses.replace(store, gathers=np.array(store.gathers), velocities=np.array(store.velocities))


def test_a_run_leaves_config_metrics_and_checkpoints(room):
    run = room / "whole"
    assert list_checkpoints(run) == ["best", "latest", *(f"epoch_{k}" for k in range(2, EPOCHS + 1, 2))]
    latest, lines = restore(run / "latest"), read_metrics(run)
    assert (latest.step, latest.epoch, latest.per_epoch) == (EPOCHS * STEPS, EPOCHS, STEPS)
    assert latest.survey == SURVEY.with_interval(4e-3) and latest.config == configs.load(run / "config.toml")
    validations = [line for line in lines if "validation/mape" in line]
    scores = [line["validation/mape"] for line in validations]
    best = restore(run)
    assert best.metrics["validation/mape"] == min(scores) == latest.metrics["best_mape"]
    assert best.epoch == latest.metrics["best_epoch"] == 1 + scores.index(min(scores))
    terms = {f"validation/{term}" for term in ("loss", "mape", "l2", "gradient", "total_variation", "physics")}
    assert len(scores) == EPOCHS and all(terms <= line.keys() for line in validations)
    weights = [best.metrics[f"ensemble/weight/{k}"] for k in range(2)]
    np.testing.assert_allclose(weights, np.exp(best.logits) / np.exp(best.logits).sum(), rtol=1e-6)
    training = [line for line in lines if "train/loss" in line]
    names = {"step", "epoch", "learning_rate", "samples_per_s", "train/mape", "train/physics", "train/grad_norm/1"}
    assert names <= training[0].keys() and training[-1]["step"] == EPOCHS * STEPS


def test_the_console_tells_epochs_validations_what_is_best_and_saved_and_the_end(room, said):
    train(configs.load(room / "tiny.toml"), room / "data", room / "told")
    lines = [line for line in said.messages if "told" not in line]
    for epoch in range(1, EPOCHS + 1):
        (line,) = [line for line in lines if line.startswith(f"epoch {epoch} of {EPOCHS}: loss 0.")]
        assert "MAPE " in line and "learning rate " in line
        (line,) = [line for line in lines if line.startswith(f"epoch {epoch}: validation MAPE ")]
        assert "(members " in line and "loss 0." in line
    assert lines[0].startswith("packing") or any("new best" in line for line in lines)
    assert "saved step_00000006: " in said.text and "epoch_2, latest" in said.text
    best = restore(room / "told")
    score = 100 * best.metrics["validation/mape"]
    assert lines[-1].startswith(f"finished {EPOCHS} epochs, {EPOCHS * STEPS} steps; validation MAPE ")
    assert lines[-1].endswith(f"best {score:.2f} % at epoch {best.epoch}")


def test_a_finished_run_says_so_and_what_can_have_no_effect_and_stays_as_it_is(room, said):
    before = (room / "whole" / "metrics.jsonl").read_text()
    assert main(command(room, "whole", "--train.learning-rate", "0.01", "--infer.smoothing-m", "3")) == 0
    assert f"finished {EPOCHS} epochs, {EPOCHS * STEPS} steps; validation MAPE" in said.text
    assert f"all {EPOCHS} epochs are trained, so train.learning_rate 0.001 -> 0.01 has no effect" in said.text
    assert "going on with infer.smoothing_m 0.0 -> 3.0" in said.text
    assert (room / "whole" / "metrics.jsonl").read_text() == before


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("--model.embedding", "32", "model.embedding 16 -> 32"),
        ("--ensemble.members", "3", "ensemble.members 2 -> 3"),
        ("--preprocess.scaling", "trace", "preprocess.scaling 'global' -> 'trace'"),
        ("--base.regression", "linear", "base.regression 'none' -> 'linear'"),
        ("--train.batch-size", "2", "train.batch_size 4 -> 2"),
        ("--train.spacing-m", "20", "train.spacing_m 0.0 -> 20.0"),
        ("--data.validation-fraction", "0.5", "data.validation_fraction 0.25 -> 0.5"),
    ],
)
def test_another_model_or_data_is_refused_before_anything_is_written(room, capsys, option, value, named):
    before = (room / "whole" / "config.toml").read_text()
    capsys.readouterr()
    assert main(command(room, "whole", option, value)) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(lines) == 1 and f"a run cannot go on with another {named}" in lines[0]
    assert (room / "whole" / "config.toml").read_text() == before


def test_every_setting_either_acts_or_is_refused(room):
    """A new setting is refused until somebody says that it acts in a run that goes on."""
    before = configs.load(room / "whole" / "config.toml")
    from jax_inversion.training.resume import MAY_CHANGE

    known = {f"{s}.{key}" for s, section in configs.as_dict(before).items() for key in section}
    sections = {name.partition(".")[0] for name in known}
    assert all(name in known or name in sections for name in MAY_CHANGE)


def test_fewer_epochs_than_are_trained_are_refused_and_more_are_said(room, said):
    ids = in_memory(room).ids
    with pytest.raises(UserError, match=f"{EPOCHS} epochs are trained, train.epochs 3 is less"):
        check_run(room / "whole", configs.load(room / "tiny.toml", ["--train.epochs", "3"]), ids)
    config = configs.load(room / "tiny.toml", ["--train.epochs", "20", "--infer.smoothing-m", "3"])
    check_run(room / "whole", config, ids)
    say_changes(room / "whole", config)
    assert f"infer.smoothing_m 0.0 -> 3.0; train.epochs {EPOCHS} -> 20" in "; ".join(sorted(said.messages[-1].split(
        "going on with ")[1].split("; ")))  # fmt: skip


def test_other_samples_are_refused_and_others_of_the_same_ids_too(room, tmp_path, capsys):
    write_samples(tmp_path / "data", count=12)
    arguments = command(room, "whole", "--train.epochs", "20")
    arguments[arguments.index("--data") + 1] = str(tmp_path / "data")
    assert main(arguments) == 2
    assert "cannot go on with other samples" in capsys.readouterr().err
    store = in_memory(room)
    assert len(store) == 16  # the run's store is as it was
    changed = dataclasses.replace(store, made_from={"other": 1})
    with pytest.raises(UserError, match="cannot go on with other samples"):
        check_run(room / "whole", configs.load(room / "tiny.toml"), changed.ids, changed)


def test_a_wrong_preset_key_data_folder_or_missing_data_is_one_line(room, tmp_path, capsys):
    assert main(command(room, "other", "--train.epoch", "3")) == 2
    assert "unknown key train.epoch; did you mean 'epochs'?" in capsys.readouterr().err
    assert main(["--config", str(room / "tiny.toml"), "--run", str(tmp_path / "run")]) == 2
    assert "no data: give --data DIR" in capsys.readouterr().err
    assert main([*command(room, "other"), "--data", str(tmp_path / "none")]) == 2


def test_a_loss_that_is_not_finite_stops_the_run_and_names_step_and_samples(room):
    store, config = in_memory(room), configs.load(room / "tiny.toml")
    samples = split(store, 0.25, 0)

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
    assert list_checkpoints(room / "diverged") == []


def test_a_run_that_diverges_later_keeps_and_names_its_last_good_checkpoint(room, monkeypatch):
    store, run, save = in_memory(room), room / "diverged_later", Saver.save

    def save_then_spoil(self, state, meta, *rest):
        save(self, state, meta, *rest)
        if "epoch_2" in meta.names:
            store.gathers[:] = np.nan

    monkeypatch.setattr(Saver, "save", save_then_spoil)
    with pytest.raises(Diverged, match=rf"the last good checkpoint is {run}/latest; look at"):
        fit(configs.load(room / "tiny.toml"), split(store, 0.25, 0), run)
    latest = restore(run / "latest")
    assert latest.step in (2 * STEPS, 3 * STEPS)  # some batches had been read before
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(latest.params))


def test_where_no_sample_validates_training_samples_are_scored_and_it_is_said(room, said, capsys):
    samples = split(in_memory(room), 0.0, 0)
    assert "the scores are those of 16 training samples" in said.text + capsys.readouterr().err
    np.testing.assert_array_equal(samples.validation, samples.train)


def test_what_samples_or_inputs_are_made_with_is_fixed_where_it_is_used():
    free, other = {"simulate": {"seed": 1}, "simulator": {"spacing_m": 10.0}}, {"simulate": {"workers": 3}}
    assert len(refuse_changes(tiny_config(), tiny_config(**free), "run")) == 2  # folders of samples need neither
    simulated = {"data": {"source": "simulated"}}
    with pytest.raises(UserError, match=r"another simulator.spacing_m 5.0 -> 10.0; simulate.seed 0 -> 1"):
        refuse_changes(tiny_config(**simulated), tiny_config(**simulated, **free), "run")
    found = refuse_changes(tiny_config(**simulated), tiny_config(**simulated, **other), "run")
    assert found == ["simulate.workers 0 -> 3"]
    white = {"preprocess": {"dt_s": 4e-3, "whiten": True}}
    with pytest.raises(UserError, match=r"another simulator.spacing_m 5.0 -> 10.0; give"):
        refuse_changes(tiny_config(**white), tiny_config(**white, **free), "run")
