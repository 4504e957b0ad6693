"""The site: ``sphinx-build -W -q docs docs/_build``."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import _generate  # noqa: E402

import jax_inversion  # noqa: E402

_generate.write(HERE)

project = "jax_inversion"
author = "the jax_inversion authors"
release = jax_inversion.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["_build", "_generated/doors.md", "notebooks"]
html_theme = "furo"
html_title = f"jax_inversion {release}"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True


def setup(app) -> None:
    app.connect("autodoc-process-docstring", _stars)
    app.connect("autodoc-process-signature", _arrays)


def _stars(app, what, name, obj, options, lines) -> None:
    """Shapes such as (*batch, x, depth) are no emphasis."""
    lines[:] = [line.replace("(*", "(\\*") for line in lines]


def _arrays(app, what, name, obj, options, signature, returns) -> tuple[str | None, str | None]:
    """JAX's arrays by the name that they are imported by."""
    return tuple(text and text.replace("jaxlib._jax.Array", "Array") for text in (signature, returns))
