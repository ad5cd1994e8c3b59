import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.report.latex import escape, latex
from clbench.report.rows import Row, collect
from clbench.store.folder import DIVERGED, FAILED, find_runs

Make = Callable[..., None]

DOCUMENT = r"""\documentclass{article}
\usepackage{booktabs}
\begin{document}
%s
\end{document}
"""


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


def check_structure(text: str) -> None:
    """What LaTeX would stumble over: unbalanced braces and environments, rows of another length, bare specials."""
    plain = re.sub(r"\\[\\{}&%$#_]", "", text)
    assert plain.count("{") == plain.count("}")
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert not opened
    for columns, body in re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        bounds = re.search(r"^joint", body, re.MULTILINE)
        rules = [r"\toprule", r"\midrule", *([r"\midrule"] if bounds else []), r"\bottomrule"]
        assert re.findall(r"\\(?:top|mid|bottom)rule", body) == rules
        assert not bounds or body[: bounds.start()].endswith("\\midrule\n")
        lines = re.findall(r"^(.*) \\\\$", body, re.MULTILINE)
        assert len(lines) >= 2
        for line in lines:
            assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1
    assert text.isascii()
    bare = re.sub(r"\\begin\{tabular\}.*?\\end\{tabular\}", "", text, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)[&#%_~^]", bare.replace(r"\linewidth", "").replace(r"$^\circ$", ""))


def every_state(make: Make) -> None:
    """Rows of all states, and text that LaTeX reads as commands."""
    nasty = {"head": "dlfl_50%", "path": r"a\b{c}$d#~^&<>|\"°≥×…"}
    for seed in range(3):
        make("dlfl", seed, changed=nasty, offset=0.1)
        make("er", seed, FAILED if seed else "done", reason="OSError: no_space & 100 % full at C:\\tmp")
        make("ewc", seed, freeze="backbone", leak="fitted to all_classes")
        make("lwf", seed, DIVERGED, reason="loss was -1.5e^30")
    make("joint", 0, joint=True)


def test_special_characters_are_printed() -> None:
    assert escape("50 % of a_b & {c} ±–") == r"50 \% of a\_b \& \{c\} $\pm$--"
    assert escape(r"\~^") == r"\textbackslash{}\textasciitilde{}\textasciicircum{}"
    assert escape("-1.2±0.1 [-3.4, 5] b-c") == r"$-$1.2$\pm$0.1 [$-$3.4, 5] b-c"


@pytest.mark.slow
def test_one_float_for_each_scenario_and_protocol(store: Path, make: Make) -> None:
    every_state(make)
    make("er", 0, protocol={"images": "overlapping"})
    make("er", 0, scenario="other_one")
    text = latex(rows(store))
    check_structure(text)
    assert re.findall(r"\\caption\{(.*?) \(", text) == ["made", "made", r"other\_one"]
    assert text.count(r"\begin{tabular}") == 9  # the default has three blocks
    assert latex(rows(store), ["mAP", "mAP@ci95", "rank"]).count(r"\begin{tabular}") == 3


def test_marks_and_notes_belong_together(store: Path, make: Make) -> None:
    every_state(make)
    text = latex(rows(store))
    for letters in re.findall(r"\\textsuperscript\{([a-z,]+)\} &", text):
        for letter in letters.split(","):
            assert re.search(rf"^\\textsuperscript\{{{letter}\}} \S", text, re.MULTILINE)
    assert r"er: seed 1: failed: OSError: no\_space \& 100 \% full at C:\textbackslash{}tmp." in text
    assert r"lwf\textsuperscript{" in text and "& 0/3 & diverged &" in text


@pytest.mark.slow
def test_best_and_second_are_marked_where_the_difference_is_tested(store: Path, make: Make) -> None:
    for seed in range(8):
        make("er", seed, offset=0.3 + 0.01 * seed)
        make("lwf", seed)
        make("ewc", seed, offset=-0.2 + 0.01 * seed)
        make("joint", seed, joint=True, offset=0.9)
        make("dlfl", seed, leak="it saw them", offset=0.8)
    text = latex(rows(store), ["mAP", "forgetting_mAP", "classes"])
    means = {row.label: row.metric("mAP") for row in rows(store)}
    assert re.findall(r"\\textbf\{(.*?)\}", text) == [_cell(means["er"])]  # neither the upper bound nor the leak
    assert re.findall(r"\\underline\{(.*?)\}", text) == [_cell(means["lwf"])]  # equal forgetting: nobody is best
    assert "Bold: best; underlined: second best" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex (texlive-latex-recommended)")
def test_it_compiles(store: Path, make: Make, tmp_path: Path) -> None:
    every_state(make)
    (tmp_path / "t.tex").write_text(DOCUMENT % latex(rows(store)), encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "t.pdf").stat().st_size > 1000


def _cell(value: dict[str, float]) -> str:
    return rf"{100 * value['mean']:.1f}$\pm${100 * value['sd']:.1f}"
