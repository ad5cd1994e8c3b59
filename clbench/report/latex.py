r"""Tables as LaTeX: needs `\usepackage{booktabs}` and nothing else."""

import re
from collections.abc import Sequence

from clbench.report.best import BEST, SECOND, note, standing
from clbench.report.rows import Row
from clbench.report.tables import Group, Table, glossary, table_groups
from clbench.terminal import printable

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
    return "\n\n".join(_float(group) for group in table_groups(rows, columns))


def escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return _MINUS.sub("$-$", "".join(_SPECIAL.get(character, character) for character in printable(text)))


def _float(group: Group) -> str:
    standings = [[standing(built.rows, name) for name in built.columns] for built in group.tables]
    blocks = []
    for (table, _, _), found in zip(group.tables, standings, strict=True):
        start = table.names + 1  # the names and n
        styles = {(p, c + start): style for c, one in enumerate(found) if one for p, style in one.styles.items()}
        blocks.append(_lead(table) + _tabular(table, styles))
    notes = [line for built in group.tables for line in built.table.notes]
    notes.append(note([one for found in standings for one in found]))
    notes.append(" ".join(glossary([built.table for built in group.tables])))
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{escape(group.title)}: metrics after the last task, \%.}}",
            "\n\\par\\medskip\n".join(blocks),
            r"\par\smallskip",
            r"\begin{minipage}{\linewidth}\raggedright",
            "\\par\n".join(_note(line) for line in notes),
            r"\end{minipage}",
            r"\end{table}",
        ]
    )


def _lead(table: Table) -> str:
    if not table.lead:
        return ""
    return (
        f"\\begin{{minipage}}{{\\linewidth}}\\raggedright\n{escape(table.lead)}\n\\end{{minipage}}\n\\par\\smallskip\n"
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
    if 0 < table.bounds < len(lines):
        lines.insert(len(lines) - table.bounds, r"\midrule")
    heading = " & ".join(escape(heading) for heading in table.headings) + r" \\"
    columns = "l" * table.names + "r" * (len(table.headings) - table.names)
    body = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", heading, r"\midrule", *lines]
    return "\n".join([*body, r"\bottomrule", r"\end{tabular}"])


def _note(line: str) -> str:
    letters = _LETTERS.match(line)
    if not letters:
        return escape(line)
    return rf"\textsuperscript{{{letters[1]}}} {escape(line[letters.end() :])}"
