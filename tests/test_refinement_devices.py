"""Samples refined on several devices, virtual ones: each has its share, and all are those of one device."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SAMPLES = 8
PROGRAM = """
import dataclasses, json, sys
from pathlib import Path
import jax, jax.numpy as jnp, numpy as np
sys.path.insert(0, {tests!r})
from physics_tiny import TINY
from test_refinement import fields, setting
from jax_inversion.physics import SimulatorConfig, simulate
from jax_inversion.refinement import job, prior

room, count = Path(sys.argv[1]), {samples}
prior.save(prior.fit(fields(80), 80.0, mirror=True), room / "prior.npz", {{}})
quick = {{"order": 2, "boundary": "cpml"}}  # to compile
simulator = SimulatorConfig(spacing_m=20.0, exact=True, background_km_s="none", **quick)
truths = np.full((count + 1, *TINY.model_shape), TINY.v_min_km_s, np.float32)
for k, truth in enumerate(truths[:-1]):
    truth[:, 8 + k:] = 2.2
*gathers, water = simulate(truths, TINY, **simulator.options)
starts = np.where(truths > TINY.v_min_km_s, truths * 1.02, truths)
for name, array in (("background", water), ("gathers", gathers), ("starts", starts)):
    np.save(room / f"{{name}}.npy", np.asarray(array, np.float32))

jax.default_backend = lambda: "accelerator"
together, used = job.Refining.together, []

def noted(work, ks, size):
    used.append((next(iter(jnp.zeros(1).devices())).id, len(ks), size))
    return together(work, ks, size)

job.Refining.together = noted
every, told = jax.local_devices(), {{}}
for devices in (1, 2):
    jax.local_devices = lambda: every[:devices]
    used.clear()
    work = job.StoredJob(
        place=room / str(devices), prior=room / "prior.npz", background=room / "background.npy",
        setting=dataclasses.replace(setting(bands_hz=(6.0,), steps=1, products=3), simulator=simulator),
        samples=tuple(map(str, range(count))), starts=room / "starts.npy", gathers=room / "gathers.npy",
    )
    rows = job.refined_samples(work, {{}}, workers=1)
    told[devices] = {{"used": sorted(used), "scales": [rows[k]["scale"] for k in range(count)]}}
print(json.dumps(told))
"""


@pytest.mark.slow
def test_devices_share_the_samples_and_refine_them_the_same(tmp_path):
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(tests=str(Path(__file__).parent), samples=SAMPLES), str(tmp_path)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    one, two = json.loads(run.stdout.splitlines()[-1]).values()
    assert one["used"] == [[0, 8, 8]]
    assert [(refined, size) for _, refined, size in two["used"]] == [(4, 4)] * 2
    assert {row[0] for row in two["used"]} == {0, 1}
    assert one["scales"] == two["scales"] and min(one["scales"]) > 0  # all were corrected
    starts = np.load(tmp_path / "starts.npy")
    for k in range(SAMPLES):
        (alike, spread), (model, deviation) = (np.load(tmp_path / n / f"{k:06d}.npy") for n in ("1", "2"))
        assert np.abs(alike - model).max() < 5e-3 * np.abs(alike - starts[k]).max()
        assert np.abs(spread - deviation).max() < 5e-3 * spread.max()
