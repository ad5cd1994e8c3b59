r"""Tables as LaTeX: needs `\usepackage{booktabs}` and nothing else."""

import re
from collections.abc import Sequence

from clbench.report.best import BEST, SECOND, note, standing
from clbench.report.rows import Row
from clbench.report.tables import Table, table_groups, title

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: rf"\{character}" for character in "&%$#_{}"},
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': "''",
    "±": r"$\pm$",
    "×": r"$\times$",
    "°": r"$^\circ$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
}
_COMMANDS = {BEST: r"\textbf", SECOND: r"\underline"}
_MINUS = re.compile(r"(?<!\w)-(?=\d)")
_LETTERS = re.compile(r"^\[([a-z]+)\] ")


def latex(rows: Sequence[Row], columns: Sequence[str] = ()) -> str:
    """One `table` for each scenario and protocol, its notes below it.

    The best row of a column is bold and the second underlined where a test says so; see `clbench.report.best`.

    Raises:
        UsageError: an unknown column.
    """
    return "\n\n".join(_float(members, tables, names) for members, tables, names in table_groups(rows, columns))


def escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return _MINUS.sub("$-$", "".join(_SPECIAL.get(character, character) for character in text))


def _float(rows: Sequence[Row], tables: Sequence[Table], names: Sequence[Sequence[str]]) -> str:
    standings = [[standing(rows, name) for name in columns] for columns in names]
    blocks = []
    for table, found in zip(tables, standings, strict=True):
        # The first two columns are the label and n.
        styles = {(p, c + 2): style for c, one in enumerate(found) if one for p, style in one.styles.items()}
        blocks.append(_tabular(table, styles))
    notes = [line for table in tables for line in table.notes] + [note([one for found in standings for one in found])]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
            rf"\caption{{{escape(title(rows[0]))}: metrics after the last task, \%.}}",
            "\n\\par\\medskip\n".join(blocks),
            r"\par\smallskip",
            r"\begin{minipage}{\linewidth}\raggedright",
            "\\par\n".join(_note(line) for line in notes),
            r"\end{minipage}",
            r"\end{table}",
        ]
    )


def _tabular(table: Table, styles: dict[tuple[int, int], str]) -> str:
    marks = table.marks or ("",) * len(table.cells)
    lines = []
    for i, (row, letters) in enumerate(zip(table.cells, marks, strict=True)):
        cells = [
            _COMMANDS[styles[i, j]] + f"{{{escape(c)}}}" if (i, j) in styles else escape(c) for j, c in enumerate(row)
        ]
        cells[0] += rf"\textsuperscript{{{letters}}}" if letters else ""
        lines.append(" & ".join(cells) + r" \\")
    heading = " & ".join(escape(heading) for heading in table.headings) + r" \\"
    columns = "l" + "r" * (len(table.headings) - 1)
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", heading, r"\midrule", *lines]
    return "\n".join([*body, r"\bottomrule", r"\end{tabular}"])


def _note(line: str) -> str:
    letters = _LETTERS.match(line)
    if not letters:
        return escape(line)
    return rf"\textsuperscript{{{letters[1]}}} {escape(line[letters.end() :])}"
