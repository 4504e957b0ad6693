"""Members and batches on virtual devices: losses and weights are those of one device, random draws among them; the same
layout gives the same bits, and a member draws the same however many others there are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny_network import tiny_network
from tiny_run import SURVEY, tiny_config

from jax_inversion.data.inputs import Inputs
from jax_inversion.training.assembly import assemble

STEPS = 3
PROGRAM = """
import json, sys
import jax, numpy as np
sys.path.insert(0, {tests!r})
from tiny_run import SETTINGS, SURVEY
from jax_inversion import config as configs
from jax_inversion.data.inputs import Inputs
from jax_inversion.training.assembly import assemble
from jax_inversion.training.feed import Resident

case, counts = sys.argv[1], [int(n) for n in sys.argv[2:]]
members = 2
tiny = {{"name": "traveltime", "columns": 4, "width": 8, "heads": 2, "layers": 1, "dropout": 0.1}}
config = configs.from_dict(SETTINGS | {{
    "model": tiny if case == "traveltime" else SETTINGS["model"],
    "ensemble": {{"members": members}}, "train": {{"learning_rate": 1e-2, "batch_size": 8, "ema_decay": 0.9}},
}})
survey = SURVEY.with_interval(4e-3)
rng = np.random.default_rng(0)
batches = [
    {{
        "gathers": 0.01 * rng.standard_normal((members, 8, *survey.gathers_shape)).astype(np.float32),
        "velocity": rng.uniform(1.5, 4, (members, 8, *SURVEY.model_shape)).astype(np.float32),
    }}
    for _ in range({steps})
]

def trained(parts, initial):
    state, losses = parts.spread.put(initial()), []
    for batch in batches:
        state, metrics = parts.step(state, parts.spread.batch(batch))
        losses.append(np.asarray(metrics["loss"]).tolist())
    return state, losses

told = {{}}
for count in counts:
    parts = assemble(config, Inputs(config.preprocess, survey, 0.01), 40, devices=jax.devices()[:count])
    initial, spread = jax.jit(parts.initial), parts.spread
    (state, losses), (again, _) = trained(parts, initial), trained(parts, initial)
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(again), strict=True)
    store, index = {{"gathers": np.arange(48.0).reshape(12, 4)}}, rng.integers(0, 12, (members, 8), np.int32)
    sent, taken = spread.batch({{"gathers": store["gathers"][index]}}), Resident(store, spread)(index)
    np.testing.assert_array_equal(sent["gathers"], taken["gathers"])
    assert sent["gathers"].sharding.is_equivalent_to(taken["gathers"].sharding, 3)
    leaves = [np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(state.params)]
    told[count] = {{
        "mesh": [spread.members, spread.batches], "losses": losses, "weights": np.concatenate(leaves)[:2000].tolist(),
        "repeats": all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs),
        "compiled": parts.step._cache_size(), "places": len(jax.tree.leaves(state.params)[0].sharding.device_set),
    }}
print(json.dumps(told))
"""


def on_devices(case: str, *counts: int) -> dict[int, dict]:
    program = PROGRAM.format(tests=str(Path(__file__).parent), steps=STEPS)
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    run = subprocess.run(
        [sys.executable, "-c", program, case, *map(str, counts)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    return {int(count): told for count, told in json.loads(run.stdout.splitlines()[-1]).items()}


@pytest.mark.slow
@pytest.mark.parametrize(("case", "counts"), [("traveltime", (1, 2, 4, 8)), ("inversion", (1, 8))])
def test_losses_and_weights_are_those_of_one_device(case, counts):
    told = on_devices(case, *counts)
    assert [told[n]["mesh"] for n in counts] == [{1: [1, 1], 2: [2, 1], 4: [2, 2], 8: [2, 4]}[n] for n in counts]
    for n in counts:
        assert told[n]["places"] == n and told[n]["compiled"] == 1 and told[n]["repeats"]
        np.testing.assert_allclose(told[n]["losses"], told[1]["losses"], rtol=2e-5)
        np.testing.assert_allclose(told[n]["weights"], told[1]["weights"], atol=2e-3)


def losses(members: int, seed: int = 0) -> np.ndarray:
    """(step, member) of a network with dropout, on augmented samples; those of the first members are the same."""
    config = tiny_config(ensemble={"members": members}, train={"seed": seed, "learning_rate": 0.1, "batch_size": 4})
    with tiny_network():
        parts = assemble(config, Inputs(config.preprocess, SURVEY, 0.01), 40, devices=jax.local_devices()[:1])
        state = jax.jit(parts.initial)()
    rng = np.random.default_rng(0)
    gathers = jnp.asarray(0.01 * rng.standard_normal((3, 4, *SURVEY.gathers_shape)), jnp.float32)
    velocity = jnp.asarray(rng.uniform(1.5, 4, (3, 4, *SURVEY.model_shape)), jnp.float32)
    found = []
    for _ in range(2):  # the network starts at its base; further on Adam would make much of rounding
        state, metrics = parts.step(state, {"gathers": gathers[:members], "velocity": velocity[:members]})
        found.append(metrics["loss"])
    return np.stack(found)


def test_what_a_member_draws_does_not_depend_on_how_many_there_are():
    """First weights, augmentation and dropout."""
    alone, together, otherwise = losses(1), losses(3), losses(1, seed=1)
    np.testing.assert_allclose(together[:, :1], alone, rtol=1e-5)
    assert np.abs(otherwise / alone - 1).max() > 1e-3  # random they are
