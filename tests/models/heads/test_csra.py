import math

import numpy as np
import pytest
import torch
from made_heads import a_map, rng

from clbench.models.heads.csra import TEMPERATURES, CSRAHead, CSRAOptions


def csra(channels: int = 16, classes: int = 7, heads: str = "1", residual: float = 0.3) -> CSRAHead:
    torch.manual_seed(0)
    return CSRAHead(CSRAOptions(heads, residual), channels, classes)


@pytest.mark.parametrize("heads", TEMPERATURES)
def test_logits_are_the_equation_written_out(heads: str) -> None:
    head, feature_map = csra(heads=heads), a_map()
    rows = head.classifier.weight_rows().detach().double().numpy()
    bias = head.classifier.bias.detach().double().numpy()
    x = feature_map.flatten(2).double().numpy()  # (B, D, P)
    expected = np.zeros((3, 7))
    for b in range(3):
        for c in range(7):
            for h, temperature in enumerate(TEMPERATURES[heads]):
                w = rows[c, 16 * h : 16 * (h + 1)]
                s = np.array([w @ x[b, :, k] for k in range(25)]) / np.sqrt(w @ w)
                if math.isinf(temperature):
                    attended = s.max()
                else:
                    powers = np.exp(temperature * s - (temperature * s).max())
                    attended = (powers / powers.sum()) @ s
                expected[b, c] += s.mean() + 0.3 * attended
            expected[b, c] += bias[c]
    np.testing.assert_allclose(head(feature_map).detach().numpy(), expected, rtol=0, atol=1e-5)


def test_the_last_temperature_is_the_maximum() -> None:
    head, feature_map = csra(heads="2", residual=1.0), a_map()
    without = csra(heads="2", residual=0.0)
    without.load_state_dict(head.state_dict())
    first = csra(heads="1", residual=1.0)
    first.load_state_dict(
        {
            "classifier.weight_rows.0": head.classifier.weight_rows()[:, :16],
            "classifier.bias_rows.0": head.classifier.bias,
        }
    )
    base = csra(heads="1", residual=0.0)
    base.load_state_dict(first.state_dict())
    second = head.classifier.normalised()[:, 1]
    largest = torch.einsum("bdhw,cd->bchw", feature_map, second).amax((2, 3))
    added = (head(feature_map) - without(feature_map)) - (first(feature_map) - base(feature_map))
    torch.testing.assert_close(added, largest, rtol=0, atol=1e-6)


def test_on_an_even_map_it_is_a_linear_head_with_normalised_rows() -> None:
    head = csra(residual=0.5)
    even = torch.randn(3, 16, 1, 1, generator=rng(4)).expand(3, 16, 4, 6)
    rows = torch.nn.functional.normalize(head.classifier.weight_rows(), dim=1)
    expected = 1.5 * even[:, :, 0, 0] @ rows.T + head.classifier.bias
    torch.testing.assert_close(head(even), expected, rtol=0, atol=1e-6)


def test_only_the_direction_of_a_row_counts() -> None:
    head, feature_map = csra(heads="4"), a_map()
    before = head(feature_map)
    with torch.no_grad():
        head.classifier.weight_rows().mul_(7.0)
    torch.testing.assert_close(head(feature_map), before, rtol=0, atol=1e-5)


def test_where_it_looks_is_where_the_label_scores() -> None:
    head = csra(classes=1, residual=100.0)
    feature_map = torch.zeros(1, 16, 3, 3)
    feature_map[0, :, 2, 1] = 50 * head.classifier.weight[0].detach()
    maps = head.attention(feature_map)
    assert maps.shape == (1, 1, 3, 3) and maps[0, 0, 2, 1].item() > 0.99
    assert maps.sum().item() == pytest.approx(1.0)


def test_every_row_gets_a_gradient() -> None:
    head = csra(heads="4")
    head(a_map()).square().sum().backward()
    gradient = head.classifier.weight_rows().grad
    assert gradient is not None and (gradient.unflatten(1, (4, 16)).abs().sum(-1) > 0).all()
