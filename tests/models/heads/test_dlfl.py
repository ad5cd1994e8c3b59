import pytest
import torch
from made_heads import a_map, dlfl, rng
from torch import nn

from clbench.errors import UsageError
from clbench.models.heads.dlfl import CrossAttention, DLFLHead


def steps_of(head: DLFLHead) -> list[CrossAttention]:
    return [step for step in head.steps if isinstance(step, CrossAttention)]


def torchs_attention(step: CrossAttention, width: int) -> nn.MultiheadAttention:
    """PyTorch's multi-head attention with a step's weights, and some bias for its keys: the softmax does not see it."""
    theirs = nn.MultiheadAttention(width, step.heads, batch_first=True)
    inner = [step.query, step.key, step.value]
    state = {
        "in_proj_weight": torch.cat([layer.weight for layer in inner]),
        "in_proj_bias": torch.cat([step.query.bias, torch.randn(width, generator=rng()), step.value.bias]),
        "out_proj.weight": step.out.weight,
        "out_proj.bias": step.out.bias,
    }
    theirs.load_state_dict(state)
    return theirs


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
        steps_of(head)[0].query.bias.zero_()
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


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("width", [16, 24])
def test_every_parameter_gets_a_gradient(steps: int, width: int) -> None:
    head = dlfl(width=width, steps=steps, residual=True, norm=True)
    head(a_map()).square().sum().backward()
    assert [name for name, p in head.named_parameters() if p.grad is None] == []


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(UsageError, match="divides the width 16 but got 5; change --set head.heads or head.width"):
        dlfl(heads=5)


def test_queries_are_frozen_when_the_next_ones_are_added() -> None:
    head = dlfl(freeze_queries=True)
    head.grow(7, rng())  # nothing is added, so nothing is old
    assert all(p.requires_grad for p in head.parameters())
    for classes in (9, 12):
        head.grow(classes, rng())
    assert [name for name, p in head.named_parameters() if not p.requires_grad] == ["query_rows.0", "query_rows.1"]
    head(a_map()).sum().backward()
    assert [block.grad is None for block in head.query_rows.blocks] == [True, True, False]
