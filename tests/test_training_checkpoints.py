"""Checkpoints: what goes in comes out, kills and damage lose nothing, names that are wrong say what is there."""

import os
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_run import SURVEY, tiny_config

from jax_inversion.errors import UserError
from jax_inversion.training import checkpoints, optimiser
from jax_inversion.training.state import create

BASE = {"mean": np.arange(3.0), "odd": np.zeros((0, 4), np.float16)}


def a_state(seed=0, width=4, ema=True):
    key = jax.random.key(seed)
    params = {"layer": {"kernel": jax.random.normal(key, (2, 300, width)), "bias": jnp.zeros((2, width))}}
    variables = {"params": params, "batch_stats": {"mean": jnp.ones((2, width))}, "logits": jnp.array([0.1, -0.2])}
    adamw = optimiser.adamw(lambda _: 1e-3, clip_norm=1.0, weight_decay=0.1, accumulate=2)
    return create(variables, adamw, optimiser.ensemble_weights(), ema)


def a_meta(step=7):
    metrics = {"validation/mape": 0.0625, "best_mape": 0.0625}
    return checkpoints.Meta(tiny_config(), SURVEY.with_interval(4e-3), 0.0155, step, step // 3, metrics, "ids")


def keep(run, *names, step=7, **state):
    checkpoints.save(run, names, a_state(**state), a_meta(step), {"next": step}, BASE)


def newest(run, state=None):
    return checkpoints.newest(run, jax.eval_shape(lambda: state or a_state()), lambda meta: None)


def largest_file(folder):
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def truncate(folder):
    path = largest_file(folder)
    os.truncate(path, path.stat().st_size // 2)


def test_training_state_position_and_meta_come_back_bit_for_bit(tmp_path):
    keep(tmp_path, "latest")
    state, meta, position = newest(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, state, a_state())
    assert jax.tree.structure(state) == jax.tree.structure(a_state())
    assert meta == a_meta() and position == {"next": 7}


def test_prediction_needs_no_model_code(tmp_path):
    keep(tmp_path, "best", "epoch_2")
    restored = checkpoints.restore(tmp_path)
    assert restored.path == tmp_path / "checkpoints" / "best" and restored.config == tiny_config()
    assert restored.survey == SURVEY.with_interval(4e-3) and (restored.std, restored.step, restored.epoch) == (
        0.0155,
        7,
        2,
    )
    np.testing.assert_array_equal(restored.variables["params"]["layer"]["kernel"], a_state().ema["layer"]["kernel"])
    assert restored.base.keys() == BASE.keys()
    for name, array in BASE.items():
        np.testing.assert_array_equal(restored.base[name], array, strict=True)
    assert restored.metrics["validation/mape"] == 0.0625 and isinstance(restored.logits, np.ndarray)


def test_without_average_and_baseline_nothing_is_stored_for_them(tmp_path):
    checkpoints.save(tmp_path, ["latest"], a_state(ema=False), a_meta(), {})
    restored = checkpoints.restore(tmp_path / "latest")
    assert restored.ema is None and restored.base is None and restored.variables["params"] is restored.params
    assert newest(tmp_path, a_state(ema=False))[0].ema is None


def test_names_are_found_and_wrong_ones_list_those_there_are(tmp_path):
    run = tmp_path / "run"
    for name in ("latest", "epoch_10", "epoch_2", "best"):
        (run / "checkpoints" / name).mkdir(parents=True)
    (run / "checkpoints" / "notes").mkdir()
    assert checkpoints.list_checkpoints(run) == ["best", "latest", "epoch_2", "epoch_10"]
    assert checkpoints.resolve(run) == checkpoints.resolve(str(run / "best")) == run / "checkpoints" / "best"
    assert checkpoints.resolve(run / "epoch_10") == checkpoints.resolve(run / "checkpoints" / "epoch_10")
    with pytest.raises(UserError, match=r"no checkpoint 'epoch_3'; it has best, latest, epoch_2, epoch_10"):
        checkpoints.resolve(run / "epoch_3")
    with pytest.raises(UserError, match="no such run or checkpoint"):
        checkpoints.resolve(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="not a run with checkpoints"):
        checkpoints.resolve(tmp_path / "empty")


def test_a_foreign_or_truncated_folder_is_named(tmp_path):
    foreign = tmp_path / "checkpoints" / "best"
    foreign.mkdir(parents=True)
    (foreign / "weights.bin").write_bytes(b"?")
    with pytest.raises(UserError, match="best: not a readable checkpoint, damaged or made by something else"):
        checkpoints.restore(tmp_path)
    keep(tmp_path, "latest")
    truncate(tmp_path / "checkpoints" / "latest" / "weights")
    with pytest.raises(UserError, match="latest: not a readable checkpoint"):
        checkpoints.restore(tmp_path / "latest")


def test_a_damaged_latest_gives_way_to_the_next_newest(tmp_path, capsys):
    keep(tmp_path, "best", step=3, seed=3)
    keep(tmp_path, "epoch_2", step=6, seed=6)
    keep(tmp_path, "latest", step=9, seed=9)
    truncate(tmp_path / "checkpoints" / "latest" / "weights")
    state, meta, position = newest(tmp_path)
    assert meta.step == position["next"] == 6 and "going on from epoch_2 instead" in capsys.readouterr().err
    jax.tree.map(np.testing.assert_array_equal, state.params, a_state(6).params)
    for name in ("best", "epoch_2"):
        truncate(tmp_path / "checkpoints" / name / "weights")
    with pytest.raises(UserError, match="no checkpoint to go on from"):
        newest(tmp_path)


@pytest.mark.parametrize("new_one_in_place", [False, True])
def test_a_kill_while_latest_is_replaced_loses_nothing(tmp_path, new_one_in_place):
    keep(tmp_path, "latest", step=3)
    keep(tmp_path, "epoch_2", step=6)
    folder = tmp_path / "checkpoints"
    holder = folder / ".latest.abcd.partial"
    holder.mkdir()
    if new_one_in_place:  # killed between the two renames
        os.replace(folder / "latest", holder / "replaced")
        os.replace(folder / "epoch_2", holder / "latest")
    else:  # killed while writing the new one
        os.replace(folder / "epoch_2", holder / "latest")
        truncate(holder / "latest")
    assert newest(tmp_path)[1].step == (6 if new_one_in_place else 3)
    assert sorted(os.listdir(folder)) == ["latest"]


def test_no_checkpoint_is_a_fresh_start_and_another_model_is_refused(tmp_path):
    assert newest(tmp_path) is None
    keep(tmp_path, "latest")
    with pytest.raises(UserError, match=r"belongs to another model: .*bias.* is \(2, 4\), not \(2, 5\) \(11 differ\)"):
        newest(tmp_path, a_state(width=5))
    with pytest.raises(UserError, match="belongs to another model or optimiser"):
        newest(tmp_path, a_state(ema=False))


def test_a_checkpoint_of_another_format_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "FORMAT", "jax_inversion checkpoint 99")
    keep(tmp_path, "best")
    monkeypatch.undo()
    with pytest.raises(UserError, match="found format 'jax_inversion checkpoint 99'"):
        checkpoints.restore(tmp_path)


def test_save_replaces_and_leaves_no_trace(tmp_path):
    keep(tmp_path, "latest", step=3)
    keep(tmp_path, "latest", step=6)
    assert os.listdir(tmp_path / "checkpoints") == ["latest"] and newest(tmp_path)[1].step == 6
    shutil.rmtree(tmp_path / "checkpoints" / "latest" / "optimiser")
    assert checkpoints.restore(tmp_path / "latest").step == 6  # prediction does not read it
