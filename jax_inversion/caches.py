"""What is kept between processes: where, and what JAX compiled for a GPU among it.

The folder is ``$JAX_INVERSION_CACHE``, or ``jax_inversion`` in ``$XDG_CACHE_HOME`` or ``~/.cache``.
"""

import os
from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache


def cache_folder() -> Path:
    """Where it is kept."""
    own = os.environ.get("JAX_INVERSION_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jax_inversion"


def keep_compiled() -> None:
    """Have JAX keep its programs from now on, on a GPU, where compiling takes minutes.

    A folder that the user chose (``JAX_COMPILATION_CACHE_DIR``) stays; ``JAX_ENABLE_COMPILATION_CACHE=false`` keeps
    nothing. A CPU's programs are of its model, and a file system may be shared.
    """
    if jax.default_backend() != "gpu" or getattr(jax.config, "jax_compilation_cache_dir", None):
        return
    jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "compiled"))
    compilation_cache.reset_cache()  # JAX looks for a folder once, at what it compiles first
