"""`exstream` against a plain loop, by hand, and against `er` where nothing is merged."""

from typing import Any

import numpy as np
import pytest
import torch
from learners import batches, enter, learn, make

from clbench.errors import UsageError
from strategies.exstream import Prototypes

CPU = torch.device("cpu")
Slot = dict[str, Any]


def plain_loop(size: int, samples: list[tuple[Any, Any, Any]]) -> list[Slot]:
    """Straight from the description: every pair is looked at again for every image."""
    slots: list[Slot] = []
    for f, y, k in samples:
        new = {"p": f.astype(np.float64), "y": y.astype(np.float64), "k": k, "c": 1}
        if len(slots) < size:
            slots.append(new)
            continue
        most = int(np.argmax(sum(slot["y"] for slot in slots)))
        pairs = [(i, j) for i in range(size) for j in range(i + 1, size)]
        members = [(i, j) for i, j in pairs if min(slots[i]["y"][most], slots[j]["y"][most]) >= 0.5]
        i, j = min(members or pairs, key=lambda pair: ((slots[pair[0]]["p"] - slots[pair[1]]["p"]) ** 2).sum())
        one, other = slots[i], slots[j]
        total = one["c"] + other["c"]
        for name in ("p", "y"):
            other[name] = (one["c"] * one[name] + other["c"] * other[name]) / total
        other["k"], other["c"], slots[i] = one["k"] & other["k"], total, new
    return slots


def test_prototypes_are_those_of_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    samples = [
        (rng.normal(size=8).astype(np.float32), (rng.random(4) < 0.4).astype(np.float32), rng.random(4) < 0.9)
        for _ in range(150)
    ]
    prototypes = Prototypes(9, 8, 4, CPU)
    for sample in samples:
        prototypes.add(*(torch.from_numpy(each)[None] for each in sample))
    expected = plain_loop(9, samples)
    assert prototypes.counts.tolist() == [slot["c"] for slot in expected] and prototypes.counts.sum() == 150
    assert prototypes.known.tolist() == [slot["k"].tolist() for slot in expected]
    for name, theirs in (("features", "p"), ("labels", "y")):
        np.testing.assert_allclose(
            getattr(prototypes, name).numpy(), np.stack([slot[theirs] for slot in expected]), rtol=0, atol=1e-5
        )


def filled(features: list[float], labels: list[list[int]]) -> Prototypes:
    prototypes = Prototypes(len(features), 1, 2, CPU)
    for f, y in zip(features, labels, strict=True):
        prototypes.add(torch.tensor([[f]]), torch.tensor([y]).float(), torch.ones(1, 2, dtype=torch.bool))
    return prototypes


def test_a_merge_worked_by_hand() -> None:
    # Two slots have class 0 and three class 1, of which 5 and 6 are closest, though 0 and 0.5 are closer.
    prototypes = filled([0.0, 0.5, 5.0, 6.0], [[1, 0], [1, 1], [0, 1], [0, 1]])
    prototypes.add(torch.tensor([[9.0]]), torch.tensor([[1.0, 1.0]]), torch.tensor([[True, False]]))
    assert prototypes.features[:, 0].tolist() == [0.0, 0.5, 9.0, 5.5]
    assert prototypes.labels.tolist() == [[1, 0], [1, 1], [1, 1], [0, 1]]
    assert prototypes.counts.tolist() == [1, 1, 1, 2] and prototypes.known[2].tolist() == [True, False]
    # Three have either class: the first. Of it 0 and 0.5 are closest; then class 0 is had by 9, by 0.25 and by 5.
    prototypes.add(torch.tensor([[5.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[True, True]]))
    assert prototypes.features[:, 0].tolist() == [5.0, 0.25, 9.0, 5.5]
    assert prototypes.labels.tolist() == [[1, 0], [1, 0.5], [1, 1], [0, 1]]
    assert prototypes.counts.tolist() == [1, 2, 1, 2]
    assert [int(slot) for slot in prototypes.closest()] == [0, 2]


def test_where_no_two_have_the_class_all_pairs_are_looked_at() -> None:
    prototypes = filled([0.0, 3.0, 4.0], [[1, 0], [0, 0], [0, 0]])
    assert [int(slot) for slot in prototypes.closest()] == [1, 2]


def test_until_something_is_merged_it_is_er(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, prepared = make("exstream", prototypes=50)
    er, _ = make("er", freeze="backbone", size=50)
    for strategy in (ours, er):
        learn(strategy, prepared, 0, 1)
    start, _ = make("er", freeze="backbone")
    moved = [(w - v).abs().max() for w, v in zip(er.parameters(), start.parameters(), strict=True)]
    for one, other in zip(ours.parameters(), er.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    assert min(moved) > 1e-4
    assert ours.tally.counts == er.tally.counts


def test_prototypes_are_merged_and_replayed_in_a_run() -> None:
    strategy, prepared = make("exstream", "debug-incremental", missing="masked")
    prototypes: Prototypes = strategy.prototypes  # type: ignore[attr-defined]
    images = 0
    for task in (0, 1):
        learn(strategy, prepared, task)
        images += sum(len(batch) for batch in batches(strategy, prepared, task))
    assert prototypes.filled == 5 < images == int(prototypes.counts.sum())
    enter(strategy, prepared, 2)
    replay = strategy.recall(5)
    assert replay is not None and replay.labels.shape == (5, 6) and set(replay.slots) == set(range(5))
    rows = torch.from_numpy(replay.slots)
    assert torch.equal(replay.inputs[:, :, 0, 0], prototypes.features[rows])
    assert torch.equal(replay.labels, prototypes.labels[rows]) and not replay.known[:, 4:].any()
    loss = strategy.losses(batches(strategy, prepared, 2)[0], replay)["loss"]
    assert loss.isfinite()
    channels = prototypes.features.shape[1]
    assert strategy.memory_bytes() == 5 * (4 * channels + (4 + 1) * 6 + 4)


def test_what_was_hidden_is_absent_where_the_scenario_says_so() -> None:
    strategy, prepared = make("exstream", "debug-incremental", missing="negative")
    learn(strategy, prepared, 0)
    replay = strategy.recall(3)
    assert replay is not None and replay.known.all()


def test_a_backbone_that_learns_is_refused() -> None:
    with pytest.raises(UsageError, match=r"freeze=none; leave it at its default, or choose --strategy er"):
        make("exstream", freeze="none")
