"""What the rows of a table are called: in its first column, and in the text around it."""

from collections import Counter
from collections.abc import Sequence

from clbench.report.rows import Row


def first_column(rows: Sequence[Row]) -> list[str]:
    """Strategy and options; the hash, too, where head and memory in their own columns are the same as another row's."""
    shown = [(row.name, row.head, row.memory) for row in rows]
    alike = Counter(shown)
    return [
        name if alike[name, head, memory] == 1 else f"{name} {row.first.config_hash}"
        for row, (name, head, memory) in zip(rows, shown, strict=True)
    ]


def in_words(rows: Sequence[Row]) -> list[str]:
    """Names that are all different: head and memory stand in one only where it takes them: `er`, `dlfl/prs`."""
    called = first_column(rows)
    heads: dict[str, set[str]] = {}
    memories: dict[str, set[str | None]] = {}
    for row in rows:
        heads.setdefault(row.name, set()).add(row.head)
        memories.setdefault(row.name, set()).add(row.memory)
    found = []
    for row, name in zip(rows, called, strict=True):
        parts = [row.head] if len(heads[row.name]) > 1 else []
        parts += [row.memory or "none"] if len(memories[row.name]) > 1 else []
        found.append(row.spoken(parts) + name.removeprefix(row.name))
    return found
