"""What XLA is told when it compiles the training step."""

from collections.abc import Iterable
from functools import cache

import jax
from flax import linen as nn

from ..models.traveltime import Traveltime

WITHOUT_YNNPACK = {"xla_cpu_experimental_ynn_fusion_type": ""}


def compiler_options(networks: Iterable[nn.Module]) -> dict[str, str] | None:
    """For ``jax.jit``, to train ``networks`` side by side.

    On a CPU XLA hands products, sums and what is around them to the library YNNPACK. For the small matrices of networks
    along two-way time LLVM's loops and Eigen take a tenth less of a step; the large ones of the others take a quarter
    more without it (benchmarks/README.md).
    """
    small = all(isinstance(network, Traveltime) for network in networks)
    return dict(WITHOUT_YNNPACK) if small and jax.default_backend() == "cpu" and _are_known() else None


@cache
def _are_known() -> bool:
    """Whether this jaxlib knows the option, which is an experimental one."""
    try:
        jax.jit(lambda: 0, compiler_options=dict(WITHOUT_YNNPACK)).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
