"""The pages of docs/ that show code: each is run from its first block to its last, in a folder of its own.

The tutorial of a strategy is run as the notebook that is made of it.
"""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from clbench import sources

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PATHS = re.compile(r"`((?:clbench|strategies|scenarios|tests|bench)/[\w/.]*)`")


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of each block of Python or of shell commands."""
    return re.findall(
        r"^```(python|bash)\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


NO_AVALANCHE = pytest.mark.skipif(not sources.found("avalanche"), reason="needs the extra avalanche")


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", ["tour.md", "tutorial-images.md", pytest.param("tutorial-avalanche.md", marks=NO_AVALANCHE)]
)
def test_a_page_runs_from_its_first_block_to_its_last(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    known: dict[str, object] = {}
    for number, (language, text) in enumerate(blocks(page)):
        if language == "bash":
            done = subprocess.run(["bash", "-euc", text], capture_output=True, text=True)
            assert done.returncode == 0, f"{page}, block {number}: {done.stderr}"
        else:
            file = tmp_path / f"block{number}.py"
            file.write_text(text, encoding="utf-8")
            known |= runpy.run_path(str(file), known)  # its own lines in a traceback


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::RuntimeWarning")  # of the kernel's libraries
def test_the_tutorials_notebook_is_its_page_and_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient
    from tutorial_notebook import NOTEBOOK, notebook

    assert NOTEBOOK.read_text(encoding="utf-8") == notebook(), "run `python bench/tutorial_notebook.py`"
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    made = nbformat.reads(notebook(), 4)  # type: ignore[no-untyped-call]
    NotebookClient(made, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    printed = ["".join(output.get("text", "") for output in cell.get("outputs", ())) for cell in made.cells]
    assert any("FAILED  goes on exactly from its state" in text and "exit code 4" in text for text in printed)
    assert any("er (size=50) - mine (size=50)" in text for text in printed)


def test_pages_have_the_blocks_that_are_run() -> None:
    assert len(blocks("tour.md")) >= 7
    assert [language for language, _ in blocks("tutorial-images.md")] == ["python", "python", "bash", "bash"]
    assert [language for language, _ in blocks("tutorial-avalanche.md")] == ["python", "python", "python", "bash"]


@pytest.mark.parametrize("page", sorted(path.name for path in DOCS.glob("*.md")))
def test_files_that_a_page_names_exist(page: str) -> None:
    named = PATHS.findall((DOCS / page).read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []
