from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from clbench.errors import UsageError
from clbench.models.head import Head
from clbench.models.heads.dlfl import CrossAttention, DLFLHead, QueryOptions
from clbench.models.heads.linear import LinearHead
from clbench.options import NoOptions

Make = Callable[[], Head]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def a_map(channels: int = 16, size: int = 5, images: int = 3) -> Tensor:
    return torch.randn(images, channels, size, size, generator=rng(1))


def dlfl(
    channels: int = 16,
    classes: int = 7,
    *,
    width: int = 16,
    heads: int = 4,
    steps: int = 1,
    residual: bool = False,
    norm: bool = False,
) -> DLFLHead:
    options = QueryOptions(width=width, heads=heads, steps=steps, residual=residual, norm=norm)
    return DLFLHead(options, channels, classes)


def linear(channels: int, classes: int) -> LinearHead:
    return LinearHead(NoOptions(), channels, classes)


def steps_of(head: DLFLHead) -> list[CrossAttention]:
    return [step for step in head.steps if isinstance(step, CrossAttention)]


def torchs_attention(step: CrossAttention, width: int) -> nn.MultiheadAttention:
    """PyTorch's multi-head attention with a step's weights."""
    theirs = nn.MultiheadAttention(width, step.heads, batch_first=True)
    inner = [step.query, step.key, step.value]
    state = {
        "in_proj_weight": torch.cat([layer.weight for layer in inner]),
        "in_proj_bias": torch.cat([layer.bias for layer in inner]),
        "out_proj.weight": step.out.weight,
        "out_proj.bias": step.out.bias,
    }
    theirs.load_state_dict(state)
    return theirs


def test_linear_head_is_average_pooling_and_one_linear_layer() -> None:
    head, feature_map = linear(16, 7), a_map()
    theirs = nn.Linear(16, 7)
    theirs.load_state_dict(head.classifier.state_dict())
    pooled = nn.functional.adaptive_avg_pool2d(feature_map, 1).flatten(1)
    torch.testing.assert_close(head(feature_map), theirs(pooled), rtol=1e-6, atol=1e-6)
    assert head.features(feature_map).shape == (3, 1, 16)


@pytest.mark.parametrize(("width", "heads"), [(16, 1), (16, 4), (24, 8)])
def test_attention_is_pytorchs_with_the_same_weights(width: int, heads: int) -> None:
    head, feature_map = dlfl(16, width=width, heads=heads), a_map()
    positions = head.project(feature_map.flatten(2).transpose(1, 2))
    queries = head.queries.expand(len(feature_map), -1, -1)
    theirs, weights = torchs_attention(steps_of(head)[0], width)(queries, positions, positions)
    torch.testing.assert_close(head.features(feature_map), theirs, rtol=0, atol=1e-6)
    torch.testing.assert_close(head.attention(feature_map).flatten(2), weights, rtol=0, atol=1e-6)


def test_a_later_steps_queries_are_the_features_of_the_step_before() -> None:
    head, feature_map = dlfl(steps=3), a_map()
    features, positions = head.queries.expand(3, -1, -1), feature_map.flatten(2).transpose(1, 2)
    assert len(steps_of(head)) == 3
    for step in steps_of(head):
        features, _ = torchs_attention(step, 16)(features, positions, positions)
    torch.testing.assert_close(head.features(feature_map), features, rtol=0, atol=1e-6)
    assert head.features(feature_map).shape == (3, 7, 16)


@pytest.mark.parametrize("steps", [1, 2])
def test_attention_maps_sum_to_one_over_positions(steps: int) -> None:
    maps = dlfl(steps=steps).attention(torch.randn(2, 16, 4, 6, generator=rng()))
    assert maps.shape == (2, 7, 4, 6)
    torch.testing.assert_close(maps.sum((2, 3)), torch.ones(2, 7), rtol=0, atol=1e-6)
    assert (maps >= 0).all()


def test_attention_finds_the_position_that_its_query_asks_for() -> None:
    head = dlfl(classes=1, heads=1)
    feature_map = torch.zeros(1, 16, 3, 3)
    feature_map[0, :, 2, 1] = 10.0
    with torch.no_grad():
        for layer in (steps_of(head)[0].query, steps_of(head)[0].key):
            layer.weight.copy_(torch.eye(16))
            layer.bias.zero_()
        head.queries.fill_(1.0)
    # score 16 * 10 / sqrt(16) = 40 there and 0 elsewhere
    assert head.attention(feature_map)[0, 0, 2, 1].item() == pytest.approx(1.0)


def test_residual_adds_the_query_and_norm_normalises() -> None:
    feature_map = a_map()
    plain, residual, both = dlfl(), dlfl(residual=True), dlfl(residual=True, norm=True)
    residual.load_state_dict(plain.state_dict())
    both.load_state_dict(plain.state_dict(), strict=False)
    expected = plain.features(feature_map) + plain.queries
    torch.testing.assert_close(residual.features(feature_map), expected)
    torch.testing.assert_close(both.features(feature_map), nn.functional.layer_norm(expected, (16,)))


def test_a_label_is_scored_by_its_own_feature_and_row() -> None:
    head = dlfl()
    features = torch.randn(3, 7, 16, generator=rng())
    weight, bias = head.classifier.weight, head.classifier.bias
    logits = head.classify(features)
    for b in range(3):
        for c in range(7):
            torch.testing.assert_close(logits[b, c], features[b, c] @ weight[c] + bias[c])


def test_logits_are_classified_features() -> None:
    for head in (linear(16, 7), dlfl(steps=2, norm=True)):
        assert torch.equal(head(a_map()), head.classify(head.features(a_map())))


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("width", [16, 24])
def test_every_parameter_gets_a_gradient(steps: int, width: int) -> None:
    head = dlfl(width=width, steps=steps, residual=True, norm=True)
    head(a_map()).square().sum().backward()
    assert [name for name, p in head.named_parameters() if p.grad is None] == []


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(UsageError, match="divides the width 16 but got 5; change --set head.heads or head.width"):
        dlfl(heads=5)


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
