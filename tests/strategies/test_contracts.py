"""Every discovered strategy and memory, ours or a third party's, keeps the contract."""

from typing import Any

import pytest
from installed import all_of, installed
from pairs import pairs

from clbench import plugins
from clbench.errors import UsageError
from clbench.running.build import Prepared, build_scenario
from clbench.running.config import resolve
from clbench.scenario.protocols import IMAGES, MISSING, REPLAY_LABELS
from clbench.testing import (
    check_head,
    check_hidden_labels,
    check_memory,
    check_resumed,
    check_scenario,
    check_strategy,
)

STRATEGIES = installed("strategy")
MEMORIES = sorted(plugins.available("memory"))


@pytest.mark.parametrize("scenario", [pytest.param("debug", marks=pytest.mark.slow), "debug-incremental"])
@pytest.mark.parametrize("name", all_of("strategy"))
def test_strategy(name: str, scenario: str) -> None:
    check_strategy(name, scenario)


@pytest.mark.slow
def test_a_strategy_whose_head_freezes_a_part_of_itself_as_it_grows() -> None:
    settings: dict[str, Any] = {"head.freeze_queries": True}
    check_strategy("dlfl", "debug-incremental", **settings)
    for name in ("ewc", "lwf"):
        config = resolve("debug-incremental", name, memory=None, head="dlfl", settings=settings)
        check_resumed(Prepared(config, build_scenario(config)))


@pytest.mark.parametrize("replay", REPLAY_LABELS)
@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("names", [["er"], pytest.param(STRATEGIES, marks=pytest.mark.slow)], ids=["er", "all"])
def test_no_axis_shows_a_hidden_label(images: str, missing: str, replay: str, names: list[str]) -> None:
    axes = {"images": images, "missing": missing, "replay_labels": replay, "eval_images": "all"}
    for name in names:
        config = resolve("debug-incremental", name, settings=axes)
        scenario = build_scenario(config)
        check_scenario(scenario)
        if not plugins.load("strategy", name).joint:
            check_hidden_labels(Prepared(config, scenario))


@pytest.mark.parametrize("name", sorted(plugins.available("head")))
def test_head(name: str) -> None:
    check_head(name)


@pytest.mark.parametrize("name", MEMORIES)
def test_memory(name: str) -> None:
    check_memory(name)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "memory", "head"), pairs())
def test_every_combination_runs_or_is_refused_with_its_reason(name: str, memory: str | None, head: str) -> None:
    try:
        config = resolve("debug", name, memory=memory, head=head)
    except UsageError as error:
        assert "--strategy" in str(error) or "--memory" in str(error)
        return
    check_resumed(Prepared(config, build_scenario(config)))
