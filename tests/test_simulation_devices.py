"""Samples made on several devices, virtual ones: each has its share, and all are those of one device; gathers of bases
too, whose models are given."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = """
import json, sys
from pathlib import Path
import jax, jax.numpy as jnp
sys.path.insert(0, {tests!r})
from physics_tiny import TINY
from jax_inversion.physics.settings import SimulatorConfig
from jax_inversion.simulation import simulated_store
from jax_inversion.simulation.stock import StockJob

jax.default_backend = lambda: "accelerator"
together, used = StockJob.together, []

def noted(job, ks, size):
    used.append((next(iter(jnp.zeros(1).devices())).id, len(ks), size))
    return together(job, ks, size)

StockJob.together = noted
every, told = jax.local_devices(), {{}}
for count in (1, 4):
    jax.local_devices = lambda: every[:count]
    used.clear()
    place, simulator = Path(sys.argv[1]) / str(count), SimulatorConfig(spacing_m=20.0, background_km_s="none")
    simulated_store(place, 10, TINY, (12, 15), geology="layered", seed=5, simulator=simulator)
    told[count] = sorted(used)
    models = Path(sys.argv[1]) / "1/velocities.npy"
    simulated_store(place / "of_given", 10, TINY, (12, 15), given=models, simulator=simulator)
print(json.dumps(told))
"""


@pytest.mark.slow
def test_devices_share_the_samples_and_make_the_same(tmp_path):
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(tests=str(Path(__file__).parent)), str(tmp_path)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told["1"] == [[0, 10, 10]]
    assert [(made, size) for _, made, size in told["4"]] == [(2, 2)] * 5 and {row[0] for row in told["4"]} == {
        0,
        1,
        2,
        3,
    }
    for name in ("gathers.npy", "velocities.npy", "of_given/gathers.npy"):
        one, four = (np.load(tmp_path / count / name) for count in ("1", "4"))
        np.testing.assert_allclose(one, four, rtol=1e-5, atol=1e-5 * np.abs(one).max())
