from dataclasses import replace

import numpy as np
import pytest
import torch

from clbench import Batch, Replay
from clbench.learning.batch import Origin, origin_of
from clbench.scenario.samples import Samples


def a_batch(*indices: int) -> Batch:
    rows, count = np.array(indices, np.int64), len(indices)
    labels = (rows[:, None] % np.array([2, 3, 5]) == 0).astype(np.uint8)
    known = np.ones((count, 3), np.bool_)
    known[:, 2] = False
    inputs = torch.from_numpy(rows.astype(np.uint8)).view(-1, 1, 1, 1).expand(-1, 3, 2, 2)
    return Batch(inputs, torch.from_numpy(labels).float(), torch.from_numpy(known), Samples(rows, labels, known))


def test_two_batches_become_one_in_their_order() -> None:
    joined = a_batch(4, 9).join(a_batch(30))
    assert len(joined) == 3 and joined.inputs[:, 0, 0, 0].tolist() == [4, 9, 30]
    assert joined.labels.tolist() == [[1, 0, 0], [0, 1, 0], [1, 1, 1]]
    assert joined.samples.indices.tolist() == [4, 9, 30]
    assert joined.samples.labels.tolist() == joined.labels.tolist()
    assert joined.samples.known.tolist() == joined.known.tolist() == [[True, True, False]] * 3


def test_nothing_to_replay_leaves_a_batch_as_it_is() -> None:
    batch = a_batch(1)
    assert batch.join(None) is batch


@pytest.mark.parametrize("columns", [1, 3])
def test_a_cut_batch_has_its_first_columns_for_the_memory_too(columns: int) -> None:
    batch = a_batch(4, 9)
    cut = batch.cut(columns)
    assert cut.labels.shape == cut.known.shape == cut.samples.labels.shape == cut.samples.known.shape == (2, columns)
    assert torch.equal(cut.labels, batch.labels[:, :columns]) and torch.equal(cut.inputs, batch.inputs)
    assert np.array_equal(cut.samples.labels, batch.samples.labels[:, :columns])


def test_inputs_say_how_many_of_them_came_from_a_memory() -> None:
    new, drawn = a_batch(4), a_batch(6, 10)
    stored = replace(drawn, samples=replace(drawn.samples, replayed=np.array([True, True])))
    other = replace(stored, inputs=stored.inputs + 1)
    both = new.join(stored)
    assert origin_of(new.inputs) is None
    assert [origin_of(batch.inputs) for batch in (stored, other)] == [Origin(2, replayed=2)] * 2
    assert origin_of(both.inputs) == Origin(3, replayed=2)
    assert both.samples.replayed.tolist() == [False, True, True]
    assert both.cut(1).samples.rows(np.array([2, 0])).replayed.tolist() == [True, False]
    assert origin_of(both.inputs[1:]) is None


def test_replayed_samples_know_their_slots_and_join_as_a_batch() -> None:
    drawn = a_batch(6)
    replay = Replay(
        drawn.inputs, drawn.labels, drawn.known, drawn.samples, np.array([17]), {"logits": torch.ones(1, 3)}
    )
    assert replay.slots.tolist() == [17] and replay.kept["logits"].shape == (1, 3)
    assert a_batch(4).join(replay).samples.indices.tolist() == [4, 6]
