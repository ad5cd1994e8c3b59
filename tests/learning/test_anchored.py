"""The pull to anchors that `ewc`, `mas` and `si` share."""

import pytest
import torch
from learners import batches, enter, learn, make

from clbench import Strategy
from clbench.learning.anchored import Anchor, Anchored
from clbench.running.build import Prepared
from clbench.testing.states import copied


def anchored() -> tuple[Anchored, Prepared]:
    strategy, prepared = make("mas")
    assert isinstance(strategy, Anchored)
    return strategy, prepared


def test_the_distance_is_a_sum_over_anchors_and_weights_by_hand() -> None:
    strategy, _ = anchored()
    assert strategy.distance().item() == 0 and not strategy.distance().requires_grad
    name = "model.head.classifier.bias_rows.0"
    here = strategy.named_parameters()[name].detach()
    for importance, moved in ((2.0, 0.5), (3.0, -1.0)):
        strategy.anchors.append(Anchor({name: torch.full_like(here, importance)}, {name: here + moved}))
    assert strategy.distance().item() == pytest.approx(len(here) * (2 * 0.25 + 3 * 1.0))
    [slope] = torch.autograd.grad(strategy.distance(), [strategy.named_parameters()[name]])
    assert slope.tolist() == pytest.approx([2 * (2 * -0.5 + 3 * 1.0)] * len(here))


def test_what_is_frozen_since_pulls_no_more() -> None:
    strategy, prepared = anchored()
    learn(strategy, prepared, 0)
    for weight in strategy.parameters():
        weight.data += 0.1
    before = strategy.distance().item()
    strategy.freeze()
    head = sum(
        (each * 0.1**2).sum().item() for name, each in strategy.anchors[0].importance.items() if "model.head" in name
    )
    assert strategy.distance().item() == pytest.approx(head, rel=1e-3) and 0 < head < before


@pytest.mark.parametrize(("name", "tensors"), [("ewc", 2), ("mas", 2), ("si", 3)])
def test_what_is_kept_is_counted(name: str, tensors: int) -> None:
    strategy, prepared = make(name)
    learn(strategy, prepared, 0)
    assert strategy.memory_bytes() == tensors * 4 * sum(weight.numel() for weight in strategy.parameters())


def test_a_checkpoint_of_ewc_of_before_is_read() -> None:
    strategy, prepared = make("ewc")
    learn(strategy, prepared, 0)
    state = copied(strategy.state())
    for anchor in state["anchors"]:
        anchor["fisher"] = anchor.pop("importance")
    again: Strategy
    again, _ = make("ewc")
    again.load_state(state)
    again.enter(strategy.stage, fresh=False)
    enter(strategy, prepared, 1)
    enter(again, prepared, 1)
    batch = batches(strategy, prepared, 1)[0]
    values = [each.losses(batch, None) for each in (strategy, again)]
    assert all(torch.equal(values[0][name], values[1][name]) for name in ("loss", "penalty"))
    assert values[0]["penalty"].requires_grad
