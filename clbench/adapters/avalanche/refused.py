"""What of Avalanche is silently wrong with several labels, or cannot work here: refused by name, with its reason.

All of it was run or read in avalanche-lib 0.6.0.
"""

from collections.abc import Mapping

from clbench.errors import UsageError

MAKES_BATCHES = "it makes batches itself, from a memory that is no memory of the run, and is written once a task"
ONE_CLASS = "it takes each image to have one class"

REFUSED: Mapping[str, tuple[str, str]] = {
    "AGEMPlugin": (
        "its state has data sets and an iterator, which no checkpoint can have",
        "--strategy agem",
    ),
    "ReplayPlugin": (MAKES_BATCHES, "--strategy er --memory reservoir"),
    "GDumbPlugin": (f"{MAKES_BATCHES}; and {ONE_CLASS}", "--strategy er --memory class-balanced"),
    "MIRPlugin": (f"{MAKES_BATCHES}; and {ONE_CLASS}", "--strategy er"),
    "GSS_greedyPlugin": (f"{MAKES_BATCHES}; and {ONE_CLASS}", "--strategy er --memory gss"),
    "LwFPlugin": (
        "it distils a softmax over classes of which one is right, and asks for task labels",
        "--strategy lwf",
    ),
    "CoPEPlugin": (f"{ONE_CLASS}, of which it keeps a prototype", "--strategy exstream"),
    "LFLPlugin": ("it asks the model for `get_features`, which is Avalanche's own", "--strategy lwf"),
}
"""Plugin -> why not, and what does the same here."""


def check(plugin: object) -> None:
    """Raises UsageError for a plugin of a refused class, or of one that derives from it."""
    for cls in type(plugin).__mro__:
        if cls.__name__ in REFUSED and cls.__module__.startswith("avalanche."):
            reason, instead = REFUSED[cls.__name__]
            raise UsageError(
                f"Expected a plugin that acts on the loss, the gradient or the weights but got Avalanche's "
                f"{cls.__name__}: {reason}; choose {instead}."
            )
