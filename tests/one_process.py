"""Samples made one after another in the test's own process: a worker takes seconds to start."""

from jax_inversion.simulation import workers


def run(job, ks, count):
    """In the place of ``workers.run``."""
    return ((k, workers._made(workers._attempt(job, k))) for k in ks)
