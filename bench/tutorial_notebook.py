"""docs/tutorial-strategy.ipynb: the tutorial as a notebook, without outputs; the tests execute it.

python bench/tutorial_notebook.py
"""

from pathlib import Path

import jupytext
import nbformat

from clbench.files import write_bytes

PAGE = Path(__file__).parent.parent / "docs" / "tutorial-strategy.md"
NOTEBOOK = PAGE.with_suffix(".ipynb")
KERNEL = "---\njupyter:\n  kernelspec: {name: python3, display_name: Python 3, language: python}\n---\n\n"
"""Without it the more frequent language of the page's blocks would be the notebook's."""


def notebook() -> str:
    """The notebook's JSON: the same bytes for the same page."""
    made = jupytext.reads(KERNEL + PAGE.read_text(encoding="utf-8"), fmt="md")
    made.metadata = {"kernelspec": made.metadata["kernelspec"]}
    for number, cell in enumerate(made.cells):
        cell["id"] = f"cell-{number}"
    text: str = nbformat.writes(made)  # type: ignore[no-untyped-call]
    return text + "\n"


if __name__ == "__main__":
    write_bytes(NOTEBOOK, notebook().encode())
    print(NOTEBOOK)
