import pytest
import torch
from made_heads import a_map, rng
from torch import nn

from clbench.errors import UsageError
from clbench.models.heads.mldecoder import DecoderOptions, MLDecoderHead


def mldecoder(channels: int = 16, classes: int = 7, *, dropout: float = 0.0, width: int = 24) -> MLDecoderHead:
    torch.manual_seed(0)
    return MLDecoderHead(DecoderOptions(width, 4, 40, dropout), channels, classes)


def test_features_are_pytorchs_decoder_layer_without_self_attention() -> None:
    head, feature_map = mldecoder(), a_map()
    theirs = nn.TransformerDecoderLayer(24, 4, 40, dropout=0.0, batch_first=True)
    state = {f"multihead_attn.{name}": value for name, value in head.layer.attend.state_dict().items()}
    for number, norm in enumerate([head.norm, *head.layer.norms], start=1):
        state |= {f"norm{number}.{name}": value for name, value in norm.state_dict().items()}
    for name, layer in (("linear1", head.layer.feedforward[0]), ("linear2", head.layer.feedforward[3])):
        state |= {f"{name}.{key}": value for key, value in layer.state_dict().items()}
    silent = {f"self_attn.{name}": torch.zeros_like(value) for name, value in theirs.self_attn.state_dict().items()}
    theirs.load_state_dict(state | silent)
    tokens = torch.relu(head.embed(feature_map.flatten(2).transpose(1, 2)))
    twice = 2 * head.query_rows().expand(3, -1, -1)
    torch.testing.assert_close(head.features(feature_map), theirs(twice, tokens), rtol=0, atol=1e-5)


def test_queries_are_fixed() -> None:
    head = mldecoder(dropout=0.1)
    head.grow(9, rng())
    head(a_map()).square().sum().backward()
    fixed = [name for name, p in head.named_parameters() if not p.requires_grad]
    assert fixed == ["query_rows.0", "query_rows.1"]
    assert all(block.grad is None for block in head.query_rows.blocks)
    assert [name for name, p in head.named_parameters() if p.requires_grad and p.grad is None] == []


def test_dropout_is_for_training_alone() -> None:
    head, feature_map = mldecoder(dropout=0.5), a_map()
    assert not torch.equal(head(feature_map), head(feature_map))
    head.eval()
    assert torch.equal(head(feature_map), head(feature_map))


def test_attention_finds_the_position_that_its_query_asks_for() -> None:
    head = mldecoder(width=16)
    with torch.no_grad():
        head.embed.weight.copy_(torch.eye(16))
        head.embed.bias.zero_()
        query = head.norm(2 * head.query_rows()[3])
        inner = head.layer.attend.in_proj_weight
        assert inner is not None
        inner[16:32] = inner[:16]  # keys are projected as queries are
    feature_map = torch.zeros(1, 16, 3, 3)
    feature_map[0, :, 1, 2] = 60 * query.relu().detach()
    head.layer.attend.in_proj_bias.data.zero_()
    maps = head.attention(feature_map)
    assert maps.shape == (1, 7, 3, 3)
    others = [score for place, score in enumerate(maps[0, 3].flatten().tolist()) if place != 5]
    assert maps[0, 3, 1, 2].item() > max(others)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(UsageError, match="divides the width 30 but got 4"):
        mldecoder(width=30)
