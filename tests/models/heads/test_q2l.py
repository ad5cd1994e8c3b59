import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from made_heads import a_map
from torch import nn

from clbench.errors import UsageError
from clbench.models.heads import q2l
from clbench.models.heads.q2l import Layer, Query2LabelHead, TransformerOptions, sine_positions

Matrix = npt.NDArray[np.float64]


def head_of(
    channels: int = 16, classes: int = 7, *, width: int = 0, dropout: float = 0.0, **layers: int
) -> Query2LabelHead:
    torch.manual_seed(0)
    return Query2LabelHead(TransformerOptions(width, 4, 40, dropout=dropout, **layers), channels, classes)


def numpys(module: nn.Module) -> dict[str, Matrix]:
    return {name: value.double().numpy() for name, value in module.state_dict().items()}


def layer_norm(x: Matrix, state: dict[str, Matrix], name: str) -> Matrix:
    apart = x - x.mean(-1, keepdims=True)
    scaled: Matrix = apart / np.sqrt((apart**2).mean(-1, keepdims=True) + 1e-5)
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def attended(state: dict[str, Matrix], q: Matrix, k: Matrix, v: Matrix, heads: int) -> Matrix:
    """Multi-head attention of one image, head by head and query by query."""
    d = q.shape[1]
    weights, biases = (state[f"attend.in_proj_{what}"] for what in ("weight", "bias"))
    q, k, v = (x @ weights[i * d : (i + 1) * d].T + biases[i * d : (i + 1) * d] for i, x in enumerate((q, k, v)))
    pooled = np.zeros_like(q)
    for h in range(heads):
        part = slice(h * d // heads, (h + 1) * d // heads)
        for n in range(len(q)):
            scores = k[:, part] @ q[n, part] / math.sqrt(d / heads)
            powers = np.exp(scores - scores.max())
            pooled[n, part] = (powers / powers.sum()) @ v[:, part]
    out: Matrix = pooled @ state["attend.out_proj.weight"].T + state["attend.out_proj.bias"]
    return out


def layer_of(module: nn.Module, x: Matrix, at: Matrix, keys: Matrix, values: Matrix) -> Matrix:
    state = numpys(module)
    x = layer_norm(x + attended(state, x + at, keys, values, 4), state, "norms.0")
    hidden = np.maximum(x @ state["feedforward.0.weight"].T + state["feedforward.0.bias"], 0)
    return layer_norm(x + hidden @ state["feedforward.3.weight"].T + state["feedforward.3.bias"], state, "norms.1")


@pytest.mark.parametrize("width", [16, 24])
def test_logits_are_the_equations_written_out(width: int) -> None:
    head, feature_map = head_of(width=width), a_map(size=3)
    state = numpys(head)
    positions = sine_positions(3, 3, width=width, like=torch.zeros((), dtype=torch.float64)).numpy()
    for image, logits in zip(feature_map.flatten(2).double().numpy(), head(feature_map).detach().numpy(), strict=True):
        x: Matrix = image.T
        if width != 16:
            x = x @ state["project.weight"].T + state["project.bias"]
        x = layer_of(head.encoder[0], x, positions, x + positions, x)
        y = np.zeros((7, width))
        for layer in head.decoder:
            y = layer_of(layer, y, state["query_rows.0"], x + positions, x)
        features = layer_norm(y, state, "norm")
        rows, bias = state["classifier.weight_rows.0"], state["classifier.bias_rows.0"]
        expected = [features[c] @ rows[c] + bias[c] for c in range(7)]
        np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)


def test_without_positions_the_encoder_is_pytorchs() -> None:
    torch.manual_seed(0)
    ours, x = Layer(16, 4, 40, 0.0), torch.randn(3, 9, 16)
    theirs = nn.TransformerEncoderLayer(16, 4, 40, dropout=0.0, batch_first=True)
    state = {f"self_attn.{name}": value for name, value in ours.attend.state_dict().items()}
    for number, norm in enumerate(ours.norms, start=1):
        state |= {f"norm{number}.{name}": value for name, value in norm.state_dict().items()}
    for name, layer in (("linear1", ours.feedforward[0]), ("linear2", ours.feedforward[3])):
        state |= {f"{name}.{key}": value for key, value in layer.state_dict().items()}
    theirs.load_state_dict(state)
    torch.testing.assert_close(ours(x, 0.0, x, x)[0], theirs(x), rtol=0, atol=1e-5)


def test_positions_by_hand() -> None:
    found = sine_positions(2, 4, width=8, like=torch.zeros(()))
    assert found.shape == (8, 8)
    row, column = 2 * math.pi * 2 / 2, 2 * math.pi * 3 / 4  # position (1, 2), counted from 1: row 2 of 2, column 3 of 4
    expected = [
        f(place / 10_000 ** (2 * i / 4)) for place in (row, column) for i in (0, 1) for f in (math.sin, math.cos)
    ]
    torch.testing.assert_close(found[1 * 4 + 2], torch.tensor(expected), rtol=0, atol=1e-6)


def test_it_sees_where_things_are(monkeypatch: pytest.MonkeyPatch) -> None:
    head, feature_map = head_of(), a_map()
    turned = feature_map.flip(3)
    assert not torch.allclose(head(feature_map), head(turned), atol=1e-4)
    monkeypatch.setattr(q2l, "sine_positions", lambda *size, width, like: like.new_zeros(size[0] * size[1], width))
    torch.testing.assert_close(head(feature_map), head(turned), rtol=0, atol=1e-5)


def test_every_parameter_gets_a_gradient() -> None:
    head = head_of(width=24)
    head(a_map()).square().sum().backward()
    without = {name for name, p in head.named_parameters() if p.grad is None}
    assert without == set()


def test_layers_are_as_many_as_are_asked_for() -> None:
    head = head_of(encoder_layers=0, decoder_layers=3)
    assert (len(head.encoder), len(head.decoder)) == (0, 3) and head(a_map()).shape == (3, 7)


def test_a_width_must_fit_heads_and_positions() -> None:
    with pytest.raises(UsageError, match="divides the width 30 but got 4"):
        head_of(width=30)
    torch.manual_seed(0)
    with pytest.raises(UsageError, match="a width that 4 divides"):
        Query2LabelHead(TransformerOptions(18, 2, 40), 16, 7)
