"""Every breach of the strategy's contract is found, and said."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clbench import Batch, Replay, Strategy, plugins
from clbench.plugins import Plugin
from clbench.running.build import Prepared, build_scenario
from clbench.running.config import resolve
from clbench.testing import check_resumed, check_strategy
from clbench.testing.strategies import check_learning

Patch = pytest.MonkeyPatch


def test_a_strategy_that_forgets_its_state_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    lwf = plugins.load("strategy", "lwf")
    monkeypatch.setattr(lwf, "load_state", Strategy.load_state)  # leaves the teacher out
    config = resolve("debug", "lwf")
    with pytest.raises(AssertionError, match="state must hold all that learning changes"):
        check_resumed(Prepared(config, build_scenario(config)))


def without_docstring(patch: Patch) -> None:
    patch.setattr(Plugin, "docstring", lambda self: "")


def learning_when_asked(patch: Patch) -> None:
    plain = Strategy.predict

    def predict(self: Strategy, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            self.model.head.classifier.bias.add_(1)
        return plain(self, inputs)

    patch.setattr(Strategy, "predict", predict)


def drawing_from_nowhere(patch: Patch) -> None:
    numbers = iter(range(1, 10**6))
    plain = Strategy.losses

    def losses(self: Strategy, batch: Batch, replay: Replay | None) -> dict[str, Tensor]:
        return {name: loss * next(numbers) for name, loss in plain(self, batch, replay).items()}

    patch.setattr(Strategy, "losses", losses)


def negative(patch: Patch) -> None:
    patch.setattr(Strategy, "memory_bytes", lambda self: -1)


def hidden_optimizer(patch: Patch) -> None:
    """Steps by an optimiser that nobody was told of."""

    def step(self: Strategy, loss: Tensor) -> None:
        own = torch.optim.SGD(self.parameters(), 1e-3)
        own.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        own.step()

    patch.setattr(Strategy, "step", step)


def deaf_module(patch: Patch) -> None:
    """A module that stays in training mode."""

    class Deaf(nn.Module):
        def train(self, mode: bool = True) -> "Deaf":
            return super().train(True)

    deaf = Deaf()
    patch.setattr(Strategy, "modules", lambda self: {"model": self.model, "own": deaf})


def values(returned: Mapping[str, Any]) -> Any:
    def plant(patch: Patch) -> None:
        plain = Strategy.observe
        patch.setattr(Strategy, "observe", lambda self, batch: (plain(self, batch), returned)[1])

    return plant


@pytest.mark.parametrize(
    ("plant", "sentence"),
    [
        (without_docstring, "the file must begin with a docstring"),
        (learning_when_asked, "predict must not change the strategy"),
        (drawing_from_nowhere, "the same seed must give the same state"),
        (negative, "memory_bytes must count what is kept"),
        (hidden_optimizer, "the optimiser that steps must be `optimizer`"),
        (deaf_module, "evaluation must reach the module own"),
        (values({}), "observe to return scalars by name, `loss` among them, but got nothing"),
        (values({"loss": 1.0, "b": float("nan")}), "finite numbers, but b is nan"),
        (values({"loss": torch.ones((), requires_grad=True)}), "observe must return loss detached"),
    ],
)
def test_a_breach_is_found(plant: Any, sentence: str, monkeypatch: Patch) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=sentence):
        check_strategy("finetune")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda logits: logits / 0, "predict must give finite logits"),
        (lambda logits: logits[:, :3], r"predict must give logits \(B, C\)"),
    ],
)
def test_scores_that_are_none_are_found(change: Any, sentence: str, monkeypatch: Patch) -> None:
    config = resolve("debug", "finetune")
    monkeypatch.setattr("clbench.testing.strategies.train", lambda *a, **k: None)  # which would refuse them itself
    plain = Strategy.predict
    monkeypatch.setattr(Strategy, "predict", lambda self, inputs: change(plain(self, inputs)))
    with pytest.raises(AssertionError, match=sentence):
        check_learning(Prepared(config, build_scenario(config)))


def test_one_that_is_not_resumable_is_not_asked_to_be(monkeypatch: Patch) -> None:
    lwf = plugins.load("strategy", "lwf")
    monkeypatch.setattr(lwf, "load_state", Strategy.load_state)
    monkeypatch.setattr(lwf, "resumable", False)
    check_strategy("lwf")
