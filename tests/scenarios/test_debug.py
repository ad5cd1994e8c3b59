from clbench.scenario.builder import load_builder
from clbench.testing import check_scenario


def test_debug_keeps_the_contract() -> None:
    check_scenario(load_builder("debug").build())
