"""What every head has from its base."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_heads import a_map, dlfl, linear, rng

from clbench import plugins
from clbench.models.head import Classifier, Head, Rows

Make = Callable[[], Head]


def test_logits_are_classified_features() -> None:
    for head in (linear(16, 7), dlfl(steps=2, norm=True)):
        assert torch.equal(head(a_map()), head.classify(head.features(a_map())))


def by_name(name: str) -> Head:
    cls = plugins.load("head", name)
    head: Head = cls(cls.Options(), 96, 4).eval()
    return head


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: dlfl(96, 4, width=96, steps=2, norm=True),
        *(partial(by_name, name) for name in plugins.available("head")),
    ],
)
@given(added=st.integers(0, 30), seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=25)
def test_growing_keeps_old_rows_exactly_and_old_logits_to_rounding(make: Make, added: int, seed: int) -> None:
    head, feature_map = make(), a_map(96, 8, 4)
    before, old = head(feature_map), {name: p.detach().clone() for name, p in head.named_parameters()}
    head.grow(4 + added, rng(seed))
    after = head(feature_map)
    assert after.shape == (4, 4 + added)
    for name, p in head.named_parameters():
        assert name not in old or torch.equal(p, old[name]), name
    assert old.keys() <= dict(head.named_parameters()).keys()
    torch.testing.assert_close(after[:, :4], before, rtol=0, atol=1e-6)


@pytest.mark.parametrize("make", [lambda: linear(96, 4), lambda: dlfl(96, 4, width=96)])
def test_new_rows_come_from_the_generator_alone_and_look_like_first_ones(make: Make) -> None:
    grown = [make(), make()]
    for head in grown:
        head.grow(2004, rng(3))
    new = [dict(head.named_parameters()) for head in grown]
    for name in ("classifier.weight_rows.1", "classifier.bias_rows.1"):
        assert torch.equal(new[0][name], new[1][name]) and len(new[0][name]) == 2000
        bound = 96**-0.5
        assert new[0][name].abs().max() <= bound
        assert new[0][name].std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    if "query_rows.1" in new[0]:
        assert torch.equal(new[0]["query_rows.1"], new[1]["query_rows.1"])
        assert new[0]["query_rows.1"].std().item() == pytest.approx(1, rel=0.05)


def test_a_head_cannot_shrink() -> None:
    with pytest.raises(ValueError, match="at least the 7 classes"):
        dlfl().grow(6, rng())


def test_frozen_parameters_stay_frozen_when_they_grow() -> None:
    head = linear(16, 4).requires_grad_(False)
    head.grow(6, rng())
    assert not any(p.requires_grad for p in head.parameters()) and not head.classifier.weight.requires_grad


def test_rows_are_their_blocks_one_after_another() -> None:
    rows = Rows(torch.arange(6.0).reshape(3, 2))
    assert rows() is rows.blocks[0], "without growth there is nothing between the parameter and who reads it"
    first = rows.blocks[0]
    rows.grow(torch.tensor([[7.0, 8.0]], dtype=torch.float64))
    rows.grow(torch.zeros(0, 2))
    rows.grow(torch.ones(2, 2))
    assert [name for name, _ in rows.named_parameters()] == ["0", "1", "2"] and rows.blocks[0] is first
    assert len(rows) == 6 and rows().dtype == torch.float32
    assert rows().tolist() == [[0, 1], [2, 3], [4, 5], [7, 8], [1, 1], [1, 1]]
    (rows() * torch.arange(6.0)[:, None]).sum().backward()
    gradients = [block.grad.tolist() for block in rows.blocks if block.grad is not None]
    assert gradients == [[[0, 0], [1, 1], [2, 2]], [[3, 3]], [[4, 4], [5, 5]]]


def test_a_grown_classifier_is_pytorchs_linear_layer_with_all_its_rows() -> None:
    classifier, features = Classifier(3, 4), torch.randn(5, 4, generator=rng())
    classifier.grow(5, rng(1))
    theirs = torch.nn.Linear(4, 5)
    theirs.load_state_dict({"weight": classifier.weight, "bias": classifier.bias})
    assert torch.equal(classifier(features[:, None]), theirs(features))
