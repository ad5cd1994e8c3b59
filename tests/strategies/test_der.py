"""`der` is `derpp` without labels."""

import numpy as np
import torch
from learners import learn, make


def test_it_is_derpp_without_labels() -> None:
    (der, _), (derpp, prepared) = make("der", alpha=0.4), make("derpp", alpha=0.4, beta=0)
    for strategy in (der, derpp):
        learn(strategy, prepared, 0, 1)
    for one, other in zip(der.model.parameters(), derpp.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_no_stored_label_acts() -> None:
    (der, prepared), (turned, _), (labels, _), (turned_labels, _) = (
        make(name, size=7) for name in ("der", "der", "derpp", "derpp")
    )
    for strategy in (der, turned, labels, turned_labels):
        learn(strategy, prepared, 0)
    for strategy in (turned, turned_labels):
        assert strategy.memory is not None
        np.subtract(1, strategy.memory.labels, out=strategy.memory.labels)
    for strategy in (der, turned, labels, turned_labels):
        learn(strategy, prepared, 1)

    def weights(strategy: object) -> torch.Tensor:
        return torch.cat([w.detach().flatten() for w in strategy.parameters()])  # type: ignore[attr-defined]

    assert torch.equal(weights(der), weights(turned))
    assert not torch.equal(weights(labels), weights(turned_labels))
