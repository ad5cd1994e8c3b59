"""Every discovered strategy and memory, ours or a third party's, keeps the contract."""

import pytest

from clbench import Strategy, plugins
from clbench.config import resolve
from clbench.errors import UsageError
from clbench.runner import Prepared, build_scenario
from clbench.testing import check_memory, check_resumed, check_strategy

STRATEGIES = sorted(plugins.available("strategy"))
MEMORIES = sorted(plugins.available("memory"))


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategy(name: str) -> None:
    check_strategy(name)


@pytest.mark.parametrize("name", MEMORIES)
def test_memory(name: str) -> None:
    check_memory(name)


@pytest.mark.parametrize("head", ["linear", "dlfl"])
@pytest.mark.parametrize("memory", [None, *MEMORIES])
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_combination_runs_or_is_refused_with_its_reason(name: str, memory: str | None, head: str) -> None:
    try:
        config = resolve("debug", name, memory=memory, settings={"head": head})
    except UsageError as error:
        assert "--strategy" in str(error) or "--memory" in str(error)
        return
    check_resumed(Prepared(config, build_scenario(config)))


def test_a_strategy_that_forgets_its_state_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    lwf = plugins.load("strategy", "lwf")
    monkeypatch.setattr(lwf, "load_state", Strategy.load_state)  # leaves the teacher out
    config = resolve("debug", "lwf")
    with pytest.raises(AssertionError, match="state must hold all that learning changes"):
        check_resumed(Prepared(config, build_scenario(config)))
