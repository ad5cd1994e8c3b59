"""What every head must do."""

from typing import Any

import torch

from clbench import plugins
from clbench.testing.states import same


def check_head(name: str, *, channels: int = 16, classes: int = 4) -> None:
    """Logits (B, C), a seeded start, growth that keeps old rows and logits, and attention that sums to one.

    Raises AssertionError; the head is built with its default options.
    """
    cls = plugins.load("head", name)
    assert plugins.find("head", name).docstring(), f"{name}: the file must begin with a docstring"
    feature_map = torch.randn(3, channels, 4, 5, generator=torch.Generator().manual_seed(1))

    def make() -> Any:
        torch.manual_seed(0)
        return cls(cls.Options(), channels, classes).eval()

    head, twin = make(), make()
    before = head(feature_map)
    assert before.shape == (3, classes) and before.dtype == torch.float32, "a head must give float32 logits (B, C)"
    assert torch.equal(before, twin(feature_map)), "the global generator's seed alone must decide how a head begins"
    features = head.features(feature_map)
    assert features.shape[:2] in ((3, 1), (3, classes)), "features must be (B, 1, d) or (B, C, d)"
    assert torch.equal(before, head.classify(features)), "logits must be the classified features"
    parameters = dict(head.named_parameters())
    old = {key: tensor.clone() for key, tensor in head.state_dict().items()}
    for each in (head, twin):
        each.grow(classes + 3, torch.Generator().manual_seed(2))
    assert head.num_classes == classes + 3 and head(feature_map).shape == (3, classes + 3), "a head must grow"
    assert same(dict(head.state_dict()), dict(twin.state_dict())), "new rows must come from the generator alone"
    grown, now = dict(head.named_parameters()), head.state_dict()
    for key, parameter in parameters.items():
        assert grown.get(key) is parameter, f"{key}: must stay the parameter it is; new rows are one of their own"
    for key, tensor in old.items():
        kept = now[key][: len(tensor)] if tensor.ndim else now[key]
        assert torch.equal(kept, tensor), f"{key}: old rows must stay"
    torch.testing.assert_close(head(feature_map)[:, :classes], before, rtol=0, atol=1e-5)
    attention = head.attention(feature_map)
    if attention is not None:
        assert attention.shape == (3, classes + 3, 4, 5), "attention must be (B, C, H, W)"
        torch.testing.assert_close(attention.sum((2, 3)), torch.ones(3, classes + 3), rtol=0, atol=1e-5)
