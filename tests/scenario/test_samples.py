"""What replayed samples say, against the definitions and by hand."""

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import Groups, grouped_labels

from clbench.arrays import LabelArray
from clbench.scenario.protocols import MISSING, REPLAY_LABELS, visible
from clbench.scenario.samples import ReplayLabels, Samples


def reference(
    truth: list[int], home: int, now: int, groups: Groups, missing: str, policy: str
) -> tuple[list[int], list[bool]]:
    """What a sample stored in task `home` says in task `now`, from the definitions, one column at a time."""
    labels, known = [], []
    for column, true in enumerate(truth):
        task = next(t for t, columns in enumerate(groups) if column in columns)
        own = task == home
        opened = policy == "full" and task <= now or policy == "forward" and home <= task <= now
        labels.append(true if own or opened else 0)
        known.append(own or opened or (missing == "negative" and task <= now))
    return labels, known


@given(grouped_labels(), st.sampled_from(MISSING), st.sampled_from(REPLAY_LABELS), st.data())
@settings(deadline=None)
def test_replayed_labels_are_their_definition(
    case: tuple[LabelArray, Groups], missing: str, policy: str, data: st.DataObject
) -> None:
    labels, groups = case
    now = data.draw(st.integers(0, len(groups) - 1))
    replay = ReplayLabels(labels, groups, missing, policy)
    home = data.draw(st.integers(0, now))
    rows = np.arange(len(labels))
    stored = Samples(rows, *visible(labels, groups, home, missing))
    found = replay(stored, groups[now][-1] + 1)
    for row in rows:
        expected = reference(labels[row].tolist(), home, now, groups, missing, policy)
        assert (found.labels[row].tolist(), found.known[row].tolist()) == expected
    before = visible(labels, groups, home, missing)
    assert np.array_equal(stored.labels, before[0]) and np.array_equal(stored.known, before[1])  # left as it was


def test_replayed_labels_by_hand() -> None:
    truth: Any = np.array([[1, 1, 1, 1]], np.uint8)
    groups = ((0,), (1,), (2,), (3,))
    stored = Samples(np.array([0]), *visible(truth, groups, 1, "masked"))
    said = {
        policy: ReplayLabels(truth, groups, "masked", policy)(stored, 3).labels.tolist()[0] for policy in REPLAY_LABELS
    }
    assert said == {"frozen": [0, 1, 0, 0], "forward": [0, 1, 1, 0], "full": [1, 1, 1, 0]}
    known = {
        policy: ReplayLabels(truth, groups, "masked", policy)(stored, 3).known.tolist()[0] for policy in REPLAY_LABELS
    }
    assert known == {
        "frozen": [False, True, False, False],
        "forward": [False, True, True, False],
        "full": [True, True, True, False],
    }
