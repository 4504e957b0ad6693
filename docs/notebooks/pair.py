"""Write each notebook's .ipynb, without outputs, from its py:percent source: ``python docs/notebooks/pair.py``."""

from pathlib import Path

import jupytext
import nbformat

HERE = Path(__file__).parent


def paired(source: Path) -> nbformat.NotebookNode:
    """The notebook of a py:percent source: the same bytes each time."""
    notebook = jupytext.read(source)
    for k, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{k}"
    return notebook


def sources() -> list[Path]:
    return sorted(path for path in HERE.glob("*.py") if path.name != Path(__file__).name)


if __name__ == "__main__":
    for source in sources():
        nbformat.write(paired(source), source.with_suffix(".ipynb"))
