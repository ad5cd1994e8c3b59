"""Average pooling and one linear layer."""

import torch
from made_heads import a_map, linear
from torch import nn


def test_linear_head_is_average_pooling_and_one_linear_layer() -> None:
    head, feature_map = linear(16, 7), a_map()
    theirs = nn.Linear(16, 7)
    theirs.load_state_dict({"weight": head.classifier.weight, "bias": head.classifier.bias})
    pooled = nn.functional.adaptive_avg_pool2d(feature_map, 1).flatten(1)
    torch.testing.assert_close(head(feature_map), theirs(pooled), rtol=1e-6, atol=1e-6)
    assert head.features(feature_map).shape == (3, 1, 16)
