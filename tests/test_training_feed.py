"""Batches that lie ready, rows taken on the device, one program for a whole run, and its memory said before."""

import jax
import numpy as np
import pytest
from tiny_network import tiny_network
from tiny_run import tiny_config, write_samples

from jax_inversion import caches
from jax_inversion.data.loader import batches, sources_of
from jax_inversion.runs import Run
from jax_inversion.training import fit, loop, memory, restore, split
from jax_inversion.training.devices import Spread
from jax_inversion.training.feed import Feed
from jax_inversion.training.preparation import pack_store

ONE = Spread(1, 1, tuple(jax.local_devices()[:1]))
COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    folder = tmp_path_factory.mktemp("feed")
    write_samples(folder / "data")
    store = pack_store(tiny_config(), folder / "data", Run(folder / "packed"))
    with tiny_network():
        yield folder, split(store, 0.25, 0)


def feed(samples, resident):
    arrays = sources_of(samples.store) if resident else None
    data = batches(samples.store, samples.train, batch_size=4, members=2, seed=0, rows_only=resident)
    return Feed(data, ONE, arrays)


def weights(run):
    return jax.tree.leaves(restore(run / "latest").params)


def test_rows_taken_on_the_device_are_those_that_are_sent(room):
    _, samples = room
    sent, taken = feed(samples, False), feed(samples, True)
    for _ in range(7):
        (index, ours), (same, theirs) = sent.take(), taken.take()
        np.testing.assert_array_equal(index, same)
        assert ours.keys() == theirs.keys() == {"gathers", "velocity"}
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
        assert sent.get_state() == taken.get_state()


def test_the_position_is_that_of_what_was_taken_whatever_lies_ready(room):
    _, samples = room
    first, second = feed(samples, False), feed(samples, True)
    first.take()
    before = first.get_state()
    first.send()
    assert first.get_state() == before
    second.set_state(before)
    np.testing.assert_array_equal(first.take()[0], second.take()[0])


def test_a_run_has_the_same_weights_wherever_its_samples_lie_and_may_change_that(room, monkeypatch):
    folder, samples = room
    config, half = tiny_config(), tiny_config(train={"epochs": 2})
    fit(config, samples, folder / "sent")
    monkeypatch.setattr(loop, "fits", lambda *_: True)
    fit(config, samples, folder / "resident")
    jax.tree.map(np.testing.assert_array_equal, weights(folder / "sent"), weights(folder / "resident"))
    short = []
    for name, places in (("changed", (True, False)), ("sent again", (False, False))):
        for settings, resident in zip((half, config), places, strict=True):
            monkeypatch.setattr(loop, "fits", lambda *_, resident=resident: resident)
            fit(settings, samples, folder / name)
        short.append(weights(folder / name))
    jax.tree.map(np.testing.assert_array_equal, *short)


def test_a_longer_run_compiles_no_more(room):
    folder, samples = room
    heard: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: heard.append(event))
    counts = []
    for epochs in (3, 5, 7):  # the first also compiles what all runs share
        heard.clear()
        fit(tiny_config(train={"epochs": epochs}), samples, folder / f"epochs{epochs}")
        counts.append(heard.count(COMPILED))
    assert counts[0] >= counts[1] == counts[2] > 0


def test_the_memory_is_said_before_training_and_too_much_of_it_warned_of(room, caplog, monkeypatch):
    folder, samples = room
    with caplog.at_level("INFO"):
        fit(tiny_config(train={"epochs": 1}), samples, folder / "said")
    (line,) = [line for line in caplog.messages if line.startswith("training step: ")]
    assert "on each device, of them" in line and "weights and optimiser" in line
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    monkeypatch.setattr(memory, "total_bytes", lambda device: 1000)
    step, leaner = (lambda: None), (lambda: None)
    needs = {step: memory.Need(600, 200, 0, 100), leaner: memory.Need(600, 200, 0, 10)}
    monkeypatch.setattr(memory.Need, "of", staticmethod(lambda which, *_: needs[which]))
    assert memory.fitting(step, leaner, None, None, 0, 1) is step
    assert "there are" not in caplog.text
    assert memory.fitting(step, None, None, None, 0, 2) is step  # two virtual devices of one memory
    assert "1.8 kB is more than the 1.0 kB there are: lower train.batch_size" in caplog.text
    with caplog.at_level("INFO"):
        assert memory.fitting(step, leaner, None, None, 0, 2) is leaner
    assert "recomputed instead of kept" in caplog.text


def test_the_estimate_has_the_sizes_of_what_it_is_told_of():
    step = jax.jit(lambda state, batch: (state + batch.sum(), batch @ batch.T), donate_argnums=0)
    state, batch = np.zeros(1000, np.float32), np.ones((50, 10), np.float32)
    need = memory.Need.of(step, jax.numpy.asarray(state), batch, store=7)
    assert (need.state, need.batch, need.store) == (4000, 2 * 2000, 7)
    assert need.working >= 50 * 50 * 4 and need.total == need.state + need.batch + need.store + need.working


@pytest.mark.parametrize(("backend", "own", "expected"), [
    ("cpu", None, None), ("gpu", None, "compiled"), ("gpu", "mine", "mine"),
])  # fmt: skip
def test_compiled_programs_are_kept_on_a_gpu_and_where_the_user_said(monkeypatch, tmp_path, backend, own, expected):
    monkeypatch.setenv("JAX_INVERSION_CACHE", str(tmp_path))
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    before, place = jax.config.jax_compilation_cache_dir, lambda name: name and str(tmp_path / name)
    try:
        jax.config.update("jax_compilation_cache_dir", place(own))
        caches.keep_compiled()
        assert jax.config.jax_compilation_cache_dir == place(expected)
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
        caches.compilation_cache.reset_cache()
