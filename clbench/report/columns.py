"""The columns of a table: what may be asked for, what is shown unasked, what stands above one, and its unit."""

from collections.abc import Sequence

from clbench.errors import UsageError, unknown
from clbench.report.rows import ANGLE, COUNTS, TUNING, Row

FORGETTING = ("CF1", "OF1", "forgetting_mAP", "forgetting_mAP_relative")
"""The second default table; the first is `main_columns`."""
TOOK = (*COUNTS, "train_seconds", "memory_bytes")
"""The third default table: what the numbers of the others cost. As many columns as a terminal has room for."""
HEADINGS = {
    "average_mAP": "avg mAP",
    "forgetting_mAP": "forgetting",
    "forgetting_mAP_relative": "forg. rel.",
    ANGLE: "angle °",
    "gradient_images": "grad. img",
    "replayed_images": "replayed",
    "train_seconds": "train s",
    "eval_seconds": "eval s",
    "memory_bytes": "memory MB",
    "peak_memory_bytes": "peak MB",
    "tuning_seconds": "tuning s",
}
RANK = "rank"
"""The mean rank by mAP over the complete block of rows and seeds."""
INTERVAL = "@ci95"
"""Behind a column's name: Student's 95 % interval instead of the mean."""
COSTS = (
    *COUNTS,
    "train_seconds",
    "eval_seconds",
    "memory_bytes",
    "peak_memory_bytes",
    "parameters",
    *TUNING,
)
COMPACT = (*COUNTS, "parameters")
"""Written in three digits in tables, with ± only where the seeds differ; csv and json have every digit."""


def main_columns(row: Row) -> tuple[str, ...]:
    """The first default table: mAP, in the frequency groups that the row's scenario has, and averaged over tasks."""
    return ("mAP", *(f"mAP:{group}" for group in row.first.env["manifest"]["groups"]), "average_mAP")


def column_names(rows: Sequence[Row]) -> list[str]:
    """Every column that `--columns` takes, given these rows; `@ci95` may stand behind all but ranks."""
    metrics = sorted({name for row in rows for name in row.metric_names})
    groups = sorted({group for row in rows for group in row.group_names})
    by_group = [f"{name}:{group}" for group in groups for name in ("mAP", "CF1", "OF1", "forgetting_mAP")]
    ranks = [RANK, *(f"{RANK}:{group}" for group in groups)]
    return [*metrics, *by_group, *COSTS, *ranks]


def check_columns(rows: Sequence[Row], columns: Sequence[str]) -> None:
    known = column_names(rows)
    for name in columns:
        plain = name.removesuffix(INTERVAL)
        if any(row.done for row in rows) and (plain not in known or (plain != name and plain.startswith(RANK))):
            raise UsageError(unknown("column", name, known, f"{INTERVAL} behind a metric gives its interval."))


def first_metric(columns: Sequence[str]) -> str | None:
    """The metric that orders a table and is tested above it: its first column that is neither a cost nor a rank."""
    plain = (column.removesuffix(INTERVAL) for column in columns)
    return next((name for name in plain if name not in COSTS and not name.startswith(RANK)), None)


def heading_of(column: str) -> str:
    """What stands above a column."""
    name, _, group = column.removesuffix(INTERVAL).partition(":")
    heading = group if group and name == "mAP" else HEADINGS.get(name, name) + (f" {group}" if group else "")
    return f"{heading} 95 %" if column.endswith(INTERVAL) else heading


def scale_of(name: str) -> tuple[float, int]:
    """What a value is multiplied by, and its decimals."""
    if name in COSTS:
        return (1e-6, 1) if name.endswith("bytes") else (1.0, 0)
    return (1.0, 1) if name == ANGLE else (100.0, 1)
