from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.report import formats
from clbench.report.columns import COSTS, FORGETTING, RANK, TOOK, column_names
from clbench.report.glossary import DEFINITIONS, GROUPS, meaning
from clbench.report.latex import latex
from clbench.report.rows import collect
from clbench.report.tables import NAMES, build_tables, glossary, with_glossary
from clbench.scenario import tasks
from clbench.store.folder import find_runs

Make = Callable[..., None]
ROOT = Path(__file__).parents[2]
SHOWN = ("n", "mAP", "average_mAP", *(f"mAP:{group}" for group in GROUPS), *FORGETTING, *TOOK, "eval_seconds")
EXPLAINED = (
    *SHOWN,
    "peak_memory_bytes",
    "parameters",
    "trials",
    "tuning_seconds",
    "positive_angle",
    RANK,
    "recomputed",
    "run_again",
)


def words(path: str) -> str:
    """A document without its line breaks and marks of code."""
    return " ".join((ROOT / path).read_text("utf-8").replace("`", "").split())


def test_every_column_that_is_offered_has_a_meaning(store: Path, make: Make) -> None:
    make("er", 0)
    names = column_names(collect(find_runs(store)))
    assert len(names) >= 40 and set(COSTS) < set(names)
    assert [name for name in [*NAMES, "n", *names] if not meaning(name)] == []
    assert len({meaning(name) for name in names}) == len(names), "two columns that say the same"


def test_a_meaning_is_put_together_of_metric_group_and_interval() -> None:
    assert meaning("forgetting_CF1").startswith("a task's best CF1 before the last task minus its CF1 after it")
    assert meaning("forgetting_OF1_relative") == "forgetting of OF1 as a share of the best (Kim et al., PRS)"
    assert meaning("average_OF1") == "OF1 after each task, on the tasks until then, mean over tasks"
    assert meaning("mAP:minority") == f"mAP of {GROUPS['minority']}"
    assert meaning("CF1:minority") == f"{DEFINITIONS['CF1']}; of minority alone: {GROUPS['minority']}"
    assert meaning("mAP:night") == "mAP of classes that the scenario names so"
    assert meaning("OF1@ci95") == f"{DEFINITIONS['OF1']}; Student's 95 % interval of the mean over seeds"
    assert meaning("rank").startswith("place by mAP among")


@pytest.mark.parametrize("name", ["a_plugins_own", "average_nothing", "forgetting", "average", "mine@ci95"])
def test_what_nobody_defined_has_none(name: str) -> None:
    assert meaning(name) == ""


def test_every_group_that_scenarios_name_is_defined() -> None:
    assert tuple(GROUPS) == tasks.GROUPS


@pytest.mark.parametrize("column", EXPLAINED)
def test_the_docs_say_the_same(column: str) -> None:
    assert meaning(column) in words("docs/report.md")


@pytest.mark.parametrize("group", GROUPS)
def test_readme_says_the_same_of_groups(group: str) -> None:
    which, _, by_whom = GROUPS[group].partition(", ")
    assert f"{group}: {which}" in words("README.md") and by_whom in words("README.md")


def test_only_what_is_shown_is_explained_once_and_in_its_order(store: Path, make: Make) -> None:
    make("er", 0)
    make("lwf", 0, scenario="other")
    found = collect(find_runs(store))
    tables = build_tables(found, ["OF1", "mAP:minority"])
    lines = (f"n: {meaning('n')}.", f"OF1: {meaning('OF1')}.", f"minority: {meaning('mAP:minority')}.")
    assert len(tables) == 2 and glossary(tables) == lines
    first, last = with_glossary(tables)
    assert first == tables[0] and last.notes == tables[1].notes + lines
    assert "- OF1: F1 over all labels" in formats.markdown([last]) and "mAP:" not in latex(found, ["OF1"])
    assert latex(found, ["OF1"]).count("OF1: F1 over all labels") == 2  # each float stands alone
