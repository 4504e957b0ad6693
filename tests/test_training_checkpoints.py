"""Checkpoints: what goes in comes out, names follow from what is there, damage and wrong names are told plainly."""

import json
import os
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_run import SURVEY, tiny_config

from jax_inversion.errors import UserError
from jax_inversion.training import catalogue, checkpoints, list_checkpoints, manifest, optimiser, resolve, restore
from jax_inversion.training.saver import Saver
from jax_inversion.training.state import create, from_dict, to_dict

BASE = {"mean": np.arange(3.0), "odd": np.zeros((0, 4), np.float16)}
PER_EPOCH = 3


def a_state(seed=0, width=4, ema=True):
    key = jax.random.key(seed)
    params = {"layer": {"kernel": jax.random.normal(key, (2, 300, width)), "bias": jnp.zeros((2, width))}}
    stats, logits = {"mean": jnp.ones((2, width))}, jnp.array([0.1, -0.2])
    variables = {"params": {"some": params}, "batch_stats": {"some": stats}, "logits": logits}
    adamw = optimiser.build("adamw", lambda _: 1e-3, clip_norm=1.0, weight_decay=0.1, accumulate=2)
    return create(variables, {"some": adamw}, optimiser.ensemble_weights(), ["some"] if ema else [])


def a_meta(step=7, names=()):
    metrics = {"validation/mape": 0.0625, "best_mape": 0.0625}
    survey = SURVEY.with_interval(4e-3)
    return checkpoints.Meta(tiny_config(), survey, 0.0155, step, PER_EPOCH, metrics, "ids", "data", names)


def keep(run, step, *names, since=None, **state):
    """Save a step as the loop that went on after ``since`` does; all that no name needs any longer is removed."""
    with Saver(run, BASE, step if since is None else since, None) as saver:
        saver.save(a_state(**state), a_meta(step, names), {"next": step})
    return run / "checkpoints" / f"step_{step:08d}"


def newest(run, state=None):
    return checkpoints.newest(run, jax.eval_shape(lambda: state or a_state()), lambda meta: None)


def steps(run):
    return sorted(int(path.name[5:]) for path in (run / "checkpoints").glob("step_*"))


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def spoil(path: Path):
    """Another last byte."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def spoil_weights(folder):
    spoil(max(files(folder / "weights"), key=lambda path: path.stat().st_size))


def test_training_state_position_and_meta_come_back_bit_for_bit(tmp_path):
    keep(tmp_path, 7)
    state, meta, position = newest(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, state, a_state())
    assert jax.tree.structure(state) == jax.tree.structure(a_state())
    assert meta == a_meta() and position == {"next": 7}


def test_prediction_needs_no_model_code(tmp_path):
    path = keep(tmp_path, 6, "best", "epoch_2")
    found = restore(tmp_path)
    assert (found.path, found.run, found.config) == (path, tmp_path, tiny_config())
    assert (found.name, found.names, found.label) == ("best", ("best", "latest", "epoch_2"), "best_epoch_2")
    assert found.survey == SURVEY.with_interval(4e-3)
    assert (found.std, found.step, found.epoch, found.per_epoch, found.unfinished) == (0.0155, 6, 2, 3, False)
    np.testing.assert_array_equal(
        found.variables["params"]["some"]["layer"]["kernel"], a_state().ema["some"]["layer"]["kernel"]
    )
    assert found.base.keys() == BASE.keys()
    for name, array in BASE.items():
        np.testing.assert_array_equal(found.base[name], array, strict=True)
    assert found.metrics["validation/mape"] == 0.0625 and isinstance(found.logits, np.ndarray)


def test_one_predicts_with_the_logits_that_were_scored_and_goes_on_with_those_learnt(tmp_path):
    state = a_state()
    checkpoints.save(tmp_path, state, a_meta(), {}, logits=jnp.array([0.5, 0.25]))
    np.testing.assert_array_equal(restore(tmp_path / "latest").logits, np.array([0.5, 0.25], np.float32))
    np.testing.assert_array_equal(newest(tmp_path)[0].logits, state.logits)


def test_without_average_and_baseline_nothing_is_stored_for_them(tmp_path):
    checkpoints.save(tmp_path, a_state(ema=False), a_meta(), {})
    found = restore(tmp_path / "latest")
    assert found.ema is None and found.base is None and found.variables["params"] == found.params
    assert newest(tmp_path, a_state(ema=False))[0].ema is None


def test_a_copy_is_saved_whatever_becomes_of_the_state(tmp_path):
    state = jax.jit(a_state)()
    with Saver(tmp_path, None, 0, None) as saver:
        saver.save(state, a_meta(), {})
        used_up = jax.jit(lambda s: jax.tree.map(jnp.zeros_like, s), donate_argnums=0)(state)
    jax.tree.map(np.testing.assert_array_equal, newest(tmp_path)[0], a_state())
    assert not np.asarray(used_up.params["some"]["layer"]["kernel"]).any()


def test_names_follow_from_the_steps_and_what_no_name_needs_is_removed(tmp_path):
    keep(tmp_path, 3, "best")
    assert list_checkpoints(tmp_path) == ["best", "latest"]
    keep(tmp_path, 6, "epoch_2")
    assert list_checkpoints(tmp_path) == ["best", "latest", "epoch_2"] and steps(tmp_path) == [3, 6]
    keep(tmp_path, 7)
    assert resolve(tmp_path).name == "step_00000003" and resolve(tmp_path / "latest").name == "step_00000007"
    keep(tmp_path, 9, "best")
    assert steps(tmp_path) == [6, 9] and resolve(tmp_path / "best") == resolve(tmp_path / "latest")
    assert restore(tmp_path / "latest").fingerprint == restore(tmp_path).fingerprint
    assert restore(tmp_path / "epoch_2").fingerprint != restore(tmp_path).fingerprint
    keep(tmp_path, 32, "epoch_10")
    assert list_checkpoints(tmp_path) == ["best", "latest", "epoch_2", "epoch_10"]
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["step_00000006", "step_00000009", "step_00000032"]


def test_every_way_to_name_one(tmp_path):
    run = tmp_path / "run"
    path = keep(run, 7, "best")
    for spec in (run, f"{run}/best", run / "latest", run / "step_00000007", run / "step_7", path):
        assert resolve(spec) == path
    latest = restore(run / "latest")
    assert latest.unfinished and (latest.epoch, latest.label) == (2, "latest_unfinished_epoch_3")
    assert restore(path).label == restore(run / "step_7").name == "step_00000007"
    shutil.copytree(path, tmp_path / "alone")
    alone = restore(tmp_path / "alone")
    assert (alone.run, alone.names, alone.label) == (tmp_path, ("best",), "alone")
    assert alone.fingerprint == latest.fingerprint
    shutil.copytree(path, tmp_path / "other" / "checkpoints" / path.name)
    assert restore(tmp_path / "other").fingerprint == latest.fingerprint


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("run/epoch_3", r"run has no checkpoint 'epoch_3'; it has best, latest, epoch_2"),
        ("run/step_9", r"run has no checkpoint 'step_9'; it has best"),
        ("run/checkpoint_epoch_2.pth", r"checkpoint_epoch_2.pth is called epoch_2 here; give .*run/epoch_2"),
        ("run/best_model.pth", r"best_model.pth is called best here; give .*run/best"),
        ("latest_checkpoint.pth", r"latest_checkpoint.pth is called latest here"),
        ("nowhere", r"no such run or checkpoint; right is RUN, RUN/best, RUN/latest, RUN/epoch_<n>"),
        ("empty", r"not a run with checkpoints; there is no .*empty/checkpoints"),
        ("file.ckpt", r"a file; a checkpoint is a folder"),
        ("old", r"checkpoints of an earlier version \(best, epoch_2, latest\), which this one does not read"),
    ],
)
def test_a_wrong_name_is_answered_in_one_line(tmp_path, spec, said):
    run = tmp_path / "run"
    for name in ("best", "latest", "epoch_2"):
        (tmp_path / "old" / "checkpoints" / name).mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.ckpt").write_bytes(b"?")
    checkpoints.save(run, a_state(), a_meta(6, ("best", "epoch_2")), {})
    for look in (resolve, restore):
        with pytest.raises(UserError, match=said) as caught:
            look(tmp_path / spec)
        assert "\n" not in str(caught.value)


def test_another_format_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "FORMAT", "jax_inversion checkpoint 99")
    keep(tmp_path, 7, "best")
    monkeypatch.undo()
    for read in (restore, newest):
        with pytest.raises(UserError, match="another version: found 'jax_inversion checkpoint 99'"):
            read(tmp_path)


def test_no_file_can_be_damaged_unnoticed(tmp_path):
    """Each file of a checkpoint: another byte, cut short, gone. Prediction does not read the optimiser's."""
    whole = keep(tmp_path / "run", 7, "best")
    original = restore(whole).variables
    for k, path in enumerate(files(whole)):
        for fault in ("byte", "cut", "gone"):
            copy = tmp_path / f"{k}_{fault}"
            shutil.copytree(whole, copy / "checkpoints" / whole.name)
            hurt = copy / "checkpoints" / whole.name / path.relative_to(whole)
            if fault == "byte" and path.stat().st_size:
                data = bytearray(hurt.read_bytes())
                data[len(data) // 2] ^= 255
                hurt.write_bytes(data)
            elif fault == "cut" and path.stat().st_size:
                os.truncate(hurt, path.stat().st_size // 2)
            else:
                hurt.unlink()
            name = path.relative_to(whole).as_posix()
            with pytest.raises(UserError, match=f"damaged.*{name}") as caught:
                newest(copy)
            assert "no checkpoint to go on from" in str(caught.value)
            if name.startswith("optimiser/"):
                jax.tree.map(np.testing.assert_array_equal, restore(copy).variables, original)
            else:
                with pytest.raises(UserError, match=f"damaged.*{name}"):
                    restore(copy)


def test_a_damaged_one_gives_way_to_the_one_before_and_both_are_named(tmp_path, caplog):
    keep(tmp_path, 3, "best", "epoch_1", seed=3)
    keep(tmp_path, 6, "epoch_2", seed=6)
    path = keep(tmp_path, 9, "best", seed=9)
    spoil_weights(path)
    state, meta, position = newest(tmp_path)
    assert meta.step == position["next"] == 6
    assert f"{path}: the checkpoint is damaged: weights/" in caplog.text
    assert "differs from its checksum; going on from step_00000006 instead" in caplog.text
    jax.tree.map(np.testing.assert_array_equal, state.params, a_state(6).params)
    for spec in (tmp_path, tmp_path / "latest"):
        caplog.clear()
        found = restore(spec)
        assert (found.step, found.name, found.label) == (6, "epoch_2", "epoch_2")
        assert "the checkpoint step_00000009 is damaged (weights/" in caplog.text
        assert "); taking step_00000006, epoch_2" in caplog.text
    for spec in ("step_9", "checkpoints/step_00000009"):
        with pytest.raises(UserError, match=r"step_00000009: the checkpoint is damaged: weights/"):
            restore(tmp_path / spec)
    assert steps(tmp_path) == [3, 6, 9]  # reading removes nothing
    spoil_weights(tmp_path / "checkpoints" / "step_00000006")
    assert restore(tmp_path / "latest").step == 3
    with pytest.raises(UserError, match=r"step_00000006: the checkpoint is damaged"):
        restore(tmp_path / "epoch_2")
    spoil_weights(tmp_path / "checkpoints" / "step_00000003")
    for read in (restore, newest):
        with pytest.raises(UserError, match="the checkpoint is damaged"):
            read(tmp_path)


def test_one_whose_note_is_damaged_may_have_been_the_best(tmp_path, caplog):
    keep(tmp_path, 3, "best", "epoch_1")
    spoil(keep(tmp_path, 6, "best", "epoch_2") / "checkpoint.json")
    keep(tmp_path, 7)
    assert restore(tmp_path).step == 3 and "step_00000006 is damaged (checkpoint.json" in caplog.text
    assert restore(tmp_path / "latest").step == 7
    with pytest.raises(UserError, match=r"no checkpoint 'epoch_2'; it has .*; step_00000006 is damaged \(checkpoint"):
        restore(tmp_path / "epoch_2")
    keep(tmp_path, 8, since=7)
    assert steps(tmp_path) == [3, 6, 8]  # somebody may want what is left of it
    keep(tmp_path, 9, since=3)
    assert steps(tmp_path) == [3, 9]  # made anew by a run that went on before it


def test_what_is_written_after_a_damaged_one_is_kept_until_that_is_passed(tmp_path):
    keep(tmp_path, 3, "epoch_1")
    spoil_weights(keep(tmp_path, 9, "best"))
    assert newest(tmp_path)[1].step == 3
    keep(tmp_path, 4, since=3, seed=4)
    assert newest(tmp_path)[1].step == 4
    keep(tmp_path, 9, "best", since=4, seed=9)
    assert steps(tmp_path) == [3, 9] and restore(tmp_path).step == 9
    jax.tree.map(np.testing.assert_array_equal, newest(tmp_path)[0].params, a_state(9).params)


def test_a_reader_whose_checkpoint_is_outdated_meanwhile_looks_again(tmp_path, monkeypatch):
    keep(tmp_path, 3, "best", seed=3)
    verify = checkpoints.verify

    def outdated(note, parts):
        if note.step == 3:
            keep(tmp_path, 6, "best", seed=6)
        verify(note, parts)

    monkeypatch.setattr(checkpoints, "verify", outdated)
    found = restore(tmp_path)
    assert found.step == 6 and steps(tmp_path) == [6]
    np.testing.assert_array_equal(found.ema["some"]["layer"]["kernel"], a_state(6).ema["some"]["layer"]["kernel"])


def test_no_checkpoint_is_a_fresh_start_and_another_model_is_refused(tmp_path):
    assert newest(tmp_path) is None
    keep(tmp_path, 7)
    with pytest.raises(
        UserError, match=r"another model: .*bias.* is float32 \(2, 4\), not float32 \(2, 5\) \(11 differ"
    ):
        newest(tmp_path, a_state(width=5))
    with pytest.raises(UserError, match="belongs to another model or optimiser"):
        newest(tmp_path, a_state(ema=False))


def test_a_checkpoint_that_cannot_be_written_ends_the_run_in_one_line(tmp_path, monkeypatch):
    path = keep(tmp_path, 3)
    said = rf"{tmp_path}: the checkpoint of step 6 could not be written: .*"
    with pytest.raises(RuntimeError, match=said + "disk space, .* are free"), monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
        keep(tmp_path, 6)
    with pytest.raises(RuntimeError, match=said + "no space left on the disk"), monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_note", lambda *a: (_ for _ in ()).throw(OSError(28, "No space left")))
        keep(tmp_path, 6)
    assert os.listdir(path.parent) == [path.name] and newest(tmp_path)[1].step == 3


def test_the_note_is_plain_json(tmp_path):
    said = json.loads((keep(tmp_path, 6, "best") / "checkpoint.json").read_text())["checkpoint"]
    assert said["format"] == "jax_inversion checkpoint 3" and said["names"] == ["best"] and said["step"] == 6
    assert said["config"]["train"]["batch_size"] == 4 and "weights/_METADATA" in said["files"]
    assert catalogue.look(tmp_path).notes[0].step == 6


def test_arrays_of_another_type_are_named_with_their_types():
    state = a_state()
    halves = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, jnp.float16 if a.ndim == 3 else a.dtype), state)
    with pytest.raises(UserError, match=r"kernel'\] is float32 \(2, 300, 4\), not float16 \(2, 300, 4\)"):
        from_dict(to_dict(state), halves, "run")
