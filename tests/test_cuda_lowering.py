"""What XLA is given for a CUDA device, read without one: products whose digits count keep them there, and a whole step
of training has nothing that is slow there.

A GPU rounds the factors of float32 products to TF32's three digits unless each is told not to.
"""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from physics_tiny import TINY, model
from tiny_run import SURVEY, tiny_config

from jax_inversion import physics
from jax_inversion.data import whiten
from jax_inversion.data.inputs import Inputs
from jax_inversion.data.preprocess import PreprocessConfig
from jax_inversion.models import TraveltimeConfig
from jax_inversion.models.attention import attention
from jax_inversion.models.convolution import convolve
from jax_inversion.physics import SimulatorConfig
from jax_inversion.refinement import solver
from jax_inversion.refinement.objective import Observed, band
from jax_inversion.training.assembly import assemble

SIMULATOR = {"spacing_m": 20.0, "reference": None}
VELOCITY = model()
GATHERS = np.zeros(TINY.gathers_shape, np.float32)


def for_cuda(function, *arguments) -> str:
    """StableHLO of ``function`` on a CUDA device."""
    return jax.jit(function).trace(*arguments).lower(lowering_platforms=("cuda",)).as_text()


def products(text: str) -> list[str]:
    return [line for line in text.splitlines() if "stablehlo.dot_general" in line or "stablehlo.convolution" in line]


def convolutions(text: str) -> list[str]:
    return [line for line in products(text) if "stablehlo.convolution" in line]


def grouped(text: str) -> list[str]:
    return [line for line in convolutions(text) if re.search(r"(feature|batch)_group_count = (?!1 )", line)]


def leaving(text: str) -> list[str]:
    """What hands over to Python or moves numbers between device and host."""
    return re.findall(r"custom_call @\S*callback|stablehlo\.(?:send|recv|infeed|outfeed)\b", text)


def refining():
    fitted = np.ones(TINY.shots, np.float32)
    observed = Observed(VELOCITY, GATHERS + 1e-3, GATHERS, fitted)
    widest = band(TINY, observed, PreprocessConfig(), 10.0, 0.01, 10.0)
    simulator = SimulatorConfig(spacing_m=20.0, reference_spacing_m=10.0, reference_dt_s=1e-3)
    fixed = {"shape": (6, 8), "survey": TINY, "simulator": simulator, "products": 2}
    return (
        partial(solver.gauss_newton, **fixed),
        observed,
        widest,
        np.eye(48, dtype=np.float32),
        solver.nothing(np.eye(48, dtype=np.float32)),
        2,
    )


def whitening():
    operator = np.eye(TINY.nt, dtype=np.float32)
    return whiten.Whitening(operator, GATHERS, 1.0).filtered, GATHERS


simulate = partial(physics.simulate, survey=TINY, **SIMULATOR)
CASES = {
    "simulate": (simulate, VELOCITY),
    "with a wavelet": (lambda v, w: simulate(v, wavelet=w), VELOCITY, np.ones(TINY.nt, np.float32)),
    "cpml": (partial(simulate, boundary="cpml"), VELOCITY),
    "gradient": (jax.grad(lambda v: jnp.square(simulate(v)).sum()), VELOCITY),
    "linearised": (lambda v: physics.linearize(v, TINY, **SIMULATOR)[1](v), VELOCITY),
    "transposed": (lambda v, g: physics.linearize(v, TINY, **SIMULATOR)[2](g), VELOCITY, GATHERS),
    "refining": refining(),
    "whitening": whitening(),
}


@pytest.mark.parametrize("case", CASES)
def test_every_product_keeps_its_digits_on_a_gpu(case):
    found = products(for_cuda(*CASES[case]))
    assert found and not [line for line in found if "precision = [HIGHEST, HIGHEST]" not in line]


def test_a_network_keeps_them_between_time_and_depth_only():
    network = TraveltimeConfig(columns=4, width=8, heads=2, layers=1).build(TINY)
    variables = jax.eval_shape(network.init, jax.random.key(0), GATHERS[None], np.zeros(TINY.shots, np.float32))
    text = for_cuda(network.apply, variables, GATHERS[None], np.zeros(TINY.shots, np.float32))
    exact = [line for line in products(text) if "HIGHEST" in line]
    assert 0 < len(exact) < len(products(text))


def test_members_convolutions_are_not_grouped():
    """As ensembles use them: a gradient of a sum over members that vmap put side by side."""

    def loss(kernels, x):
        return jnp.square(jax.vmap(convolve, in_axes=(None, 0))(x, kernels)).sum()

    def librarys(x, kernel):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    x, kernels = np.zeros((3, 2, 8, 4, 3), np.float32), np.zeros((3, 5, 5, 3, 4), np.float32)
    ours = for_cuda(jax.grad(loss, argnums=(0, 1)), kernels, x[0])
    assert len(convolutions(ours)) >= 3 * 3 and not grouped(ours)
    assert grouped(for_cuda(jax.vmap(librarys), x, kernels))  # what would be


def test_small_kernels_are_not_padded_to_the_largest():
    """Of 1, 3, 5 and 7: a 7 x 7 kernel's work for a 3 x 3 one would be five times what it takes."""
    x = np.zeros((2, 8, 4, 3), np.float32)
    kernels = [np.zeros((k, k, 3, 2), np.float32) for k in (1, 3, 5, 7)]
    sizes = re.findall(r"tensor<(\d)x\1x3x(\d)xf32>\) ->", "\n".join(convolutions(for_cuda(convolve, x, *kernels))))
    assert sizes == [("1", "2"), ("3", "2"), ("7", "4")]


@pytest.fixture
def cudnn(monkeypatch):
    """What JAX asks of the card before it writes down a call of cuDNN, answered as an A100 does."""
    asked = pytest.importorskip("jax._src.cudnn.fused_attention_stablehlo")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    monkeypatch.setattr(asked, "check_cudnn_version", lambda: 91000)
    monkeypatch.setattr(asked, "check_compute_capability", lambda least: float(least) <= 8)
    monkeypatch.setattr(asked, "is_cuda_compute_capability_equal", lambda _: False)


@pytest.mark.parametrize(
    ("dtype", "tokens", "channels", "calls"),
    [
        ("bfloat16", 4, 8, 2),
        ("bfloat16", 5, 8, 0),
        ("bfloat16", 4, 6, 0),
        ("float32", 4, 8, 0),
        ("bfloat16", 4, 136, 0),
    ],
)
def test_members_attention_is_cudnns_where_it_can_be(cudnn, monkeypatch, dtype, tokens, channels, calls):
    """One call forward and one back for all members; products where JAX would refuse in training."""

    def loss(inputs):
        return jnp.square(jax.vmap(attention)(*inputs).astype(jnp.float32)).sum()

    inputs = np.zeros((3, 2, 2, tokens, 4, channels), dtype)
    text = for_cuda(jax.grad(loss), inputs)
    assert text.count("custom_call @__cudnn$fmha") == calls and bool(products(text)) == (not calls)
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    assert products(for_cuda(jax.grad(loss), inputs))


def test_a_whole_step_of_training_has_nothing_that_is_slow_there(cudnn):
    """Of an ensemble made as the challenge preset's, augmentation, both optimisers and averages among it."""
    own = {"name": "traveltime", "columns": 4, "width": 8, "heads": 2, "layers": 1, "dtype": "bfloat16"}
    config = tiny_config(
        model={"dtype": "bfloat16", "remat": "auto"},
        augment={"shift_s": 4e-3},
        ensemble={"members": 2, "group": [{"members": 1, "model": own, "train": {"optimiser": "muon"}}]},
    )
    survey = SURVEY.with_interval(4e-3)
    parts = assemble(config, Inputs(config.preprocess, survey, 0.01), 40, devices=jax.local_devices()[:1])
    shapes = {"gathers": (3, 2, *survey.gathers_shape), "velocity": (3, 2, *survey.model_shape)}
    batch = {name: jax.ShapeDtypeStruct(shape, np.float32) for name, shape in shapes.items()}
    kept, text = (for_cuda(step, jax.eval_shape(parts.initial), batch) for step in (parts.step, parts.leaner))
    assert text.count("optimization_barrier") > kept.count("optimization_barrier")  # marks what is computed again
    # each member's convolution, and both parts of its gradient
    assert len(convolutions(text)) >= 2 * 3 and not grouped(text)
    assert text.count("custom_call @__cudnn$fmha") >= 2  # attention forward and back
    assert not leaving(text) and not re.search(r"[<x]f64>", text)


def test_nothing_leaves_the_device_on_its_way():
    assert not leaving(for_cuda(*CASES["gradient"]) + for_cuda(*CASES["refining"]))
    assert leaving(jax.jit(lambda x: jax.debug.callback(print, x)).lower(VELOCITY).as_text())
