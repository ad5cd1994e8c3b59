"""What every head has from its base."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_heads import a_map, dlfl, linear, rng

from clbench.models.head import Head

Make = Callable[[], Head]


def test_logits_are_classified_features() -> None:
    for head in (linear(16, 7), dlfl(steps=2, norm=True)):
        assert torch.equal(head(a_map()), head.classify(head.features(a_map())))


@pytest.mark.parametrize("make", [lambda: linear(96, 4), lambda: dlfl(96, 4, width=96, steps=2, norm=True)])
@given(added=st.integers(0, 30), seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=25)
def test_growing_keeps_old_rows_exactly_and_old_logits_to_rounding(make: Make, added: int, seed: int) -> None:
    head, feature_map = make(), a_map(96, 8, 4)
    before, old = head(feature_map), {name: p.detach().clone() for name, p in head.named_parameters()}
    head.grow(4 + added, rng(seed))
    after = head(feature_map)
    assert after.shape == (4, 4 + added)
    for name, p in head.named_parameters():
        assert torch.equal(p[: len(old[name])], old[name]), name
    torch.testing.assert_close(after[:, :4], before, rtol=0, atol=1e-6)


@pytest.mark.parametrize("make", [lambda: linear(96, 4), lambda: dlfl(96, 4, width=96)])
def test_new_rows_come_from_the_generator_alone_and_look_like_first_ones(make: Make) -> None:
    grown = [make(), make()]
    for head in grown:
        head.grow(2004, rng(3))
    new = [dict(head.named_parameters()) for head in grown]
    for name in ("classifier.weight", "classifier.bias"):
        assert torch.equal(new[0][name][4:], new[1][name][4:])
        bound = 96**-0.5
        assert new[0][name][4:].abs().max() <= bound
        assert new[0][name][4:].std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
    if "queries" in new[0]:
        assert torch.equal(new[0]["queries"][4:], new[1]["queries"][4:])
        assert new[0]["queries"][4:].std().item() == pytest.approx(1, rel=0.05)


def test_a_head_cannot_shrink() -> None:
    with pytest.raises(ValueError, match="at least the 7 classes"):
        dlfl().grow(6, rng())


def test_frozen_parameters_stay_frozen_when_they_grow() -> None:
    head = linear(16, 4).requires_grad_(False)
    head.grow(6, rng())
    assert not head.classifier.weight.requires_grad
