"""What is silently wrong with several labels, or does not port, is refused with its reason and what does the same."""

from pathlib import Path
from typing import Any

import pytest
import torch
from learners import make

pytest.importorskip("avalanche", reason="needs the extra avalanche")

import avalanche.evaluation.metrics
from avalanche.evaluation.metrics import accuracy_metrics, forgetting_metrics, loss_metrics, topk_acc_metrics
from avalanche.logging import BaseLogger
from avalanche.training import DER, ER_ACE, Naive
from avalanche.training.plugins import (
    AGEMPlugin,
    EvaluationPlugin,
    EWCPlugin,
    GDumbPlugin,
    GSS_greedyPlugin,
    LwFPlugin,
    MIRPlugin,
    ReplayPlugin,
)
from avalanche.training.storage_policy import ClassBalancedBuffer, ReservoirSamplingBuffer

from clbench import Setup, plugins
from clbench.adapters.avalanche import AvalancheStrategy, refused
from clbench.errors import UsageError


def strategy(cls: Any = Naive, *added: Any, metrics: Any = ()) -> Any:
    model = torch.nn.Linear(2, 2)
    return cls(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.1),
        criterion=torch.nn.BCEWithLogitsLoss(),
        plugins=list(added),
        evaluator=EvaluationPlugin(*metrics, loggers=[BaseLogger()]),
    )


NOT_PORTED = [
    (lambda: ReplayPlugin(5), "--strategy er --memory reservoir"),
    (lambda: AGEMPlugin(5, 5), "--strategy agem"),
    (lambda: LwFPlugin(), "--strategy lwf"),
    (lambda: GSS_greedyPlugin(5, 5, [3, 8, 8]), "--strategy er --memory gss"),
    (lambda: GDumbPlugin(5), "--strategy er --memory class-balanced"),
    (lambda: MIRPlugin(5), "--strategy er"),
]


@pytest.mark.parametrize(("make_plugin", "instead"), NOT_PORTED)
def test_a_plugin_that_does_not_port_is_refused(make_plugin: Any, instead: str) -> None:
    plugin = make_plugin()
    with pytest.raises(UsageError) as raised:
        refused.check_plugin(plugin)
    assert type(plugin).__name__ in str(raised.value) and str(raised.value).endswith(f"; choose {instead}.")


def test_a_strategy_of_one_is_refused_when_it_is_built() -> None:
    class Mine(AvalancheStrategy):
        def make_plugin(self) -> ReplayPlugin:
            return ReplayPlugin(5)

    setup: Setup = make("finetune")[0]._setup
    with pytest.raises(UsageError, match="got Avalanche's ReplayPlugin: it makes batches itself"):
        Mine(setup)


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (lambda: strategy(Naive, LwFPlugin()), "LwFPlugin"),
        (lambda: strategy(Naive, GDumbPlugin(5)), "GDumbPlugin"),
        (lambda: strategy(Naive, ReplayPlugin(5, storage_policy=ClassBalancedBuffer(5))), "ClassBalancedBuffer"),
        (lambda: strategy(DER), "DER"),
        (lambda: strategy(ER_ACE), "ER_ACE"),
        (lambda: strategy(metrics=[accuracy_metrics(stream=True)]), "StreamAccuracy"),
        (lambda: strategy(metrics=[topk_acc_metrics(top_k=2, stream=True)]), "StreamTopkAccuracy"),
        (lambda: strategy(metrics=[forgetting_metrics(experience=True)]), "ExperienceForgetting"),
    ],
)
def test_what_is_silently_wrong_in_an_avalanche_strategy_is_refused(made: Any, name: str) -> None:
    with pytest.raises(UsageError, match=f"Expected no {name} with several labels but got one"):
        refused.check_strategy(made())


def test_what_is_right_is_not() -> None:
    replay = ReplayPlugin(5, storage_policy=ReservoirSamplingBuffer(5))
    refused.check_strategy(strategy(Naive, replay, EWCPlugin(1.0), metrics=[loss_metrics(stream=True)]))
    refused.check_plugin(EWCPlugin(1.0))


def test_what_is_named_is_there() -> None:
    """Names of Avalanche's that a new release may have changed, what does the same here, and the page's tables."""
    page = (Path(__file__).parents[3] / "docs" / "avalanche.md").read_text(encoding="utf-8")
    for name in refused.NOT_PORTED:
        assert f"`{name}`" in page
    for name in refused.WRONG_METRICS:
        assert hasattr(avalanche.evaluation.metrics, name)
    for _, instead in refused.NOT_PORTED.values():
        words = instead.split()
        for option, value in zip(words[::2], words[1::2], strict=True):
            assert plugins.find("strategy" if option == "--strategy" else "memory", value)


def test_one_of_somebody_elses_with_the_same_name_is_not_meant() -> None:
    refused.check_plugin(type("ReplayPlugin", (), {})())
