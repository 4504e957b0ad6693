"""Random scalars, many at a time."""

import jax


def uniforms(key: jax.Array, *ranges: tuple[float, float]) -> tuple[jax.Array, ...]:
    """One uniform scalar from each range (low, high).

    One call of the generator for all of them: XLA spends a tenth of a second compiling each call.
    """
    shares = jax.random.uniform(key, (len(ranges),))
    return tuple(low + (high - low) * shares[k] for k, (low, high) in enumerate(ranges))
