"""Samples refined by workers: one that is killed, a result that is damaged; nothing is lost, nothing differs."""

import os
import signal

import numpy as np
import pytest
from physics_tiny import TINY
from test_refinement import SIMULATOR, fields, setting

from jax_inversion import backgrounds
from jax_inversion.errors import RunError
from jax_inversion.physics import simulate
from jax_inversion.refinement import job, prior
from jax_inversion.simulation import workers

NAMES = ("a", "b", "c")


def work(room, name: str) -> job.StoredJob:
    return job.StoredJob(
        place=room / name,
        prior=room / "prior.npz",
        background=room / "background.npy",
        setting=setting(bands_hz=(6.0,), steps=1, products=4),
        samples=NAMES,
        starts=room / "starts.npy",
        gathers=room / "gathers.npy",
    )


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """What all jobs read, and the samples of one that was never interrupted."""
    room = tmp_path_factory.mktemp("refining")
    prior.save(prior.fit(fields(80), 80.0, mirror=True), room / "prior.npz", {})
    background = np.array(backgrounds.background(TINY, SIMULATOR))
    truths = np.full((len(NAMES), *TINY.model_shape), TINY.v_min_km_s, np.float32)
    for k, truth in enumerate(truths):
        truth[:, 12 + 3 * k :] = 2.2
    seen = [simulate(truth, TINY, background=background, **SIMULATOR.options) for truth in truths]
    starts = np.where(truths > TINY.v_min_km_s, truths * 1.05, truths)
    for name, array in (("background", background), ("gathers", np.stack(seen)), ("starts", starts)):
        np.save(room / f"{name}.npy", np.asarray(array, np.float32))
    job.refined_samples(work(room, "whole"), {"of": 1}, workers=1)
    return room


def same(room, name: str) -> bool:
    pairs = [[np.load(work(room, place).result(k)) for place in ("whole", name)] for k in range(len(NAMES))]
    return all(np.array_equal(*pair) for pair in pairs)


@pytest.mark.slow
def test_a_worker_that_is_killed_is_named_and_what_was_done_is_kept(room, monkeypatch):
    children, run = [], workers.run

    class Noted(workers._Worker):
        def __init__(self, *given):
            super().__init__(*given)
            children.append(self)

    def killing(*given):
        for done in run(*given):
            yield done
            os.kill(children[0].process.pid, signal.SIGKILL)

    with monkeypatch.context() as patch:
        patch.setattr(workers, "_Worker", Noted)
        patch.setattr(job, "run", killing)
        with pytest.raises(RunError, match="sample b: its worker was killed by signal 9"):
            job.refined_samples(work(room, "killed"), {"of": 1}, workers=1)
    asked = []
    with monkeypatch.context() as patch:
        patch.setattr(job, "run", lambda work, ks, count: asked.extend(ks) or run(work, ks, count))
        rows = job.refined_samples(work(room, "killed"), {"of": 1}, workers=1)
    assert asked == [1, 2] and sorted(rows) == [0, 1, 2] and same(room, "killed")


@pytest.mark.slow
def test_a_damaged_result_and_another_question_are_answered_anew(room, monkeypatch):
    asked, run = [], workers.run
    result = work(room, "whole").result(2)
    result.write_bytes(result.read_bytes()[:-1])
    monkeypatch.setattr(job, "run", lambda work, ks, count: asked.append(list(ks)) or run(work, ks, count))
    assert job.refined_samples(work(room, "whole"), {"of": 1}, workers=1)[2]["id"] == "c"
    assert asked == [[2]] and np.load(result).shape == (2, *TINY.model_shape)
    job.refined_samples(work(room, "whole"), {"of": 2}, workers=1, budget_s=0.0)
    assert asked[1] == [0, 1, 2] and not result.exists()  # the budget is over after the first
