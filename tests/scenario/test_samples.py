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
    seen = groups[now][-1] + 1
    found = replay.revealed([rows] * (now + 1))(stored.cut(seen))
    for row in rows:
        says, knows = reference(labels[row].tolist(), home, now, groups, missing, policy)
        assert (found.labels[row].tolist(), found.known[row].tolist()) == (says[:seen], knows[:seen])
        assert not any(says[seen:]) and not any(knows[seen:])
    before = visible(labels, groups, home, missing)
    assert np.array_equal(stored.labels, before[0]) and np.array_equal(stored.known, before[1])  # left as it was


def test_replayed_labels_by_hand() -> None:
    truth: Any = np.array([[1, 1, 1, 1]], np.uint8)
    groups = ((0,), (1,), (2,), (3,))
    stored = Samples(np.array([0]), *visible(truth, groups, 1, "masked")).cut(3)
    none, only = np.zeros(0, np.int64), np.array([0])
    found = {
        policy: ReplayLabels(truth, groups, "masked", policy).revealed([none, only, none]) for policy in REPLAY_LABELS
    }
    said = {policy: replay(stored).labels.tolist()[0] for policy, replay in found.items()}
    assert said == {"frozen": [0, 1, 0], "forward": [0, 1, 1], "full": [1, 1, 1]}
    known = {policy: replay(stored).known.tolist()[0] for policy, replay in found.items()}
    assert known == {
        "frozen": [False, True, False],
        "forward": [False, True, True],
        "full": [True, True, True],
    }
    # of the truth each has what it may show, and no more
    assert {policy: replay.truth.tolist() for policy, replay in found.items()} == {
        "frozen": [[0, 0, 0]],
        "forward": [[0, 1, 1]],
        "full": [[1, 1, 1]],
    }
