"""The contracts as a test kit: what every scenario, memory, head and strategy must do, for our plugins and anybody's.

    from clbench.testing import check_strategy

    def test_my_strategy() -> None:
        check_strategy("my-strategy")

Each function raises AssertionError with a sentence that says what was broken.
"""

from clbench.testing.heads import check_head
from clbench.testing.memories import check_memory
from clbench.testing.peeking import check_hidden_labels
from clbench.testing.scenarios import check_scenario, check_seeded
from clbench.testing.strategies import check_resumed, check_strategy

__all__ = [
    "check_head",
    "check_hidden_labels",
    "check_memory",
    "check_resumed",
    "check_scenario",
    "check_seeded",
    "check_strategy",
]
