"""A network that compiles in a moment, in the place of ``inversion``: what the training loop does is not its business.

As a script it is the training door with that network: ``python tests/tiny_network.py --config ... --run ...``.
"""

import sys
from contextlib import contextmanager

import jax.numpy as jnp
import pytest
from flax import linen as nn

from jax_inversion.models import InversionConfig
from jax_inversion.training import loop


class TinyNetwork(nn.Module):
    """A correction of every depth from the mean trace, with all that a network may carry: statistics and dropout."""

    model_shape: tuple[int, int]

    @nn.compact
    def __call__(self, gathers, source_x, base=None, train=False):
        hidden = nn.Dense(8)(gathers.mean((1, 3)))
        hidden = nn.BatchNorm(use_running_average=not train)(hidden)
        hidden = nn.Dropout(0.1, deterministic=not train)(nn.gelu(hidden))
        correction = nn.Dense(self.model_shape[1], kernel_init=nn.initializers.zeros)(hidden)
        start = jnp.full((len(gathers), *self.model_shape), 2.0) if base is None else base
        return start * jnp.exp(correction)[:, None, :]


@contextmanager
def tiny_network():
    """Every run trains a ``TinyNetwork``, whatever its [model] section says; runs that are alike compile once."""
    made, assemble = {}, loop.assemble

    def once(*arguments):
        key = repr(arguments)  # of settings and shapes: nothing is whitened here
        made[key] = made.get(key) or assemble(*arguments)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "assemble", once)
        patch.setattr(InversionConfig, "build", lambda self, survey: TinyNetwork(survey.model_shape))
        yield


if __name__ == "__main__":
    from jax_inversion.train import main

    with tiny_network():
        sys.exit(main())
