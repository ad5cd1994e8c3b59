"""Run folders as a data frame."""

from pathlib import Path
from typing import TYPE_CHECKING

from clbench.files import DEFAULT_OUT
from clbench.report.rows import collect
from clbench.store.folder import find_runs

if TYPE_CHECKING:  # pandas is imported when it is needed
    import pandas as pd


def load_runs(out: str | Path = DEFAULT_OUT) -> "pd.DataFrame":
    """One line for each run below a results folder, done or not.

    Columns: scenario, strategy, label, config_hash, seed, state, view, then every final metric as a fraction
    (`mAP`, `forgetting_mAP`, `mAP:minority` …; NaN where the run is not done or the metric is not defined).

    Raises:
        StoreError: the folder does not exist, or a file in it is damaged.
    """
    import pandas as pd

    lines = []
    for row in collect(find_runs(Path(out))):
        names: list[tuple[str, str | None]] = [(name, None) for name in row.metric_names]
        names += [("mAP", group) for group in row.group_names]
        values = {f"{n}:{g}" if g else n: dict(zip(row.done, row.values(n, g), strict=True)) for n, g in names}
        for run in row.runs:
            line = {
                "scenario": run.scenario,
                "strategy": run.strategy,
                "label": row.label,
                "config_hash": run.config_hash,
                "seed": run.seed,
                "state": run.state,
                "view": row.view,
            }
            lines.append(line | {name: by_run[run] for name, by_run in values.items() if run in by_run})
    return pd.DataFrame(lines)
