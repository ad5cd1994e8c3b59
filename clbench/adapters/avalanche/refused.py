"""What of Avalanche is silently wrong with several labels, or does not port: refused by name, with its reason.

All of it was run or read in avalanche-lib 0.6.0.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from clbench.errors import UsageError

ONE_CLASS = "it takes each image to have one class"
MAKES_BATCHES = "it makes batches itself, from a memory that is none of the run's and is written once a task"

WRONG: Mapping[str, tuple[str, str]] = {
    "LwFPlugin": ("it distils a softmax, of which one class is right, and asks for task labels", "--strategy lwf"),
    "GSS_greedyPlugin": (f"{ONE_CLASS}: its memory has one number for each", "--strategy er --memory gss"),
    "GDumbPlugin": (f"{ONE_CLASS}: its memory is balanced by class", "--strategy er --memory class-balanced"),
    "MIRPlugin": (f"{ONE_CLASS}: its memory is balanced by class", "--strategy er"),
    "DER": (f"{ONE_CLASS}: its memory is balanced by class; and it asks for task labels", "--strategy derpp"),
    "ER_ACE": (f"{ONE_CLASS}: its loss is a cross-entropy over classes of which one is right", "--strategy er-ace"),
    "ClassBalancedBuffer": (f"{ONE_CLASS}, by which it is balanced", "--memory class-balanced"),
}
"""Class of a plugin, strategy or buffer -> why it is wrong with several labels, and what does the same here."""

NOT_PORTED: Mapping[str, tuple[str, str]] = {
    **WRONG,
    "ReplayPlugin": (MAKES_BATCHES, "--strategy er --memory reservoir"),
    "AGEMPlugin": ("it keeps data sets and an iterator, which no checkpoint can have", "--strategy agem"),
}
"""The same of plugins that cannot be a strategy of clbench."""

WRONG_METRICS = frozenset(
    {
        "acc_matrix",
        "accuracy",
        "amca",
        "class_accuracy",
        "confusion_matrix",
        "cumulative_accuracies",
        "forgetting_bwt",
        "forward_transfer",
        "topk_acc",
    }
)
"""Modules of Avalanche's metrics that are made of the class with the largest score."""


def check_plugin(plugin: object) -> None:
    """Raises UsageError for a plugin that cannot be a strategy of clbench."""
    for name, reason, instead in _among(plugin, NOT_PORTED):
        raise UsageError(
            "Expected a plugin that acts on the loss, the gradient or the weights but got Avalanche's "
            f"{name}: {reason}; choose {instead}."
        )


def check_strategy(strategy: Any) -> None:
    """Raises UsageError where something of an Avalanche strategy is silently wrong with several labels."""
    buffers = [plugin.storage_policy for plugin in strategy.plugins if hasattr(plugin, "storage_policy")]
    for part in (strategy, *strategy.plugins, *buffers):
        for name, reason, instead in _among(part, WRONG):
            raise UsageError(
                f"Expected no {name} with several labels but got one: {reason}; choose clbench's {instead}."
            )
    for metric in strategy.evaluator.metrics:
        package, _, module = type(metric).__module__.rpartition(".")
        if package == "avalanche.evaluation.metrics" and module in WRONG_METRICS:
            raise UsageError(
                f"Expected no {type(metric).__name__} with several labels but got one: it takes the class with the "
                "largest score for the answer; pass an EvaluationPlugin with MultiLabelMetrics."
            )


def _among(thing: object, table: Mapping[str, tuple[str, str]]) -> Iterator[tuple[str, str, str]]:
    """Every class of Avalanche's in the table that a thing is of."""
    for cls in type(thing).__mro__:
        if cls.__name__ in table and cls.__module__.startswith("avalanche."):
            yield (cls.__name__, *table[cls.__name__])
