"""What the columns of a report mean: the one source of tooltips, glossaries, docs/report.md and README."""

from clbench.report.columns import INTERVAL, RANK
from clbench.report.rows import ANGLE

DEFINITIONS = {
    "strategy": "how it learns; in brackets the options that were changed",
    "head": "what makes a score for each class of an image's features",
    "memory": "the policy by which samples are kept for replay; – for none",
    "n": "seeds that are done, behind mean±sample standard deviation; 2/3: one that other rows have is missing",
    "mAP": "mean over classes of average precision, after the last task, on the test images of all tasks",
    "classes": "classes with a positive test image, over which means are taken",
    "CP": "precision of each class at the protocol's threshold, mean over classes",
    "CR": "recall of each class at the protocol's threshold, mean over classes",
    "CF1": "harmonic mean of CP and CR, the means over classes of precision and of recall at the protocol's threshold",
    "CF1_mean": "F1 of each class at the protocol's threshold, mean over classes",
    "OP": "precision over all labels of all images together, at the protocol's threshold",
    "OR": "recall over all labels of all images together, at the protocol's threshold",
    "OF1": "F1 over all labels of all images together, at the protocol's threshold",
    ANGLE: "mean angle in degrees between the feature that a positive label is scored by and the label's classifier",
    RANK: "place by mAP among the continual rows, 1 is best; mean over the seeds that all of them have",
    "steps": "steps of the strategy's optimiser",
    "gradient_images": "images whose loss was back-propagated to learn from them, once for each backward pass, new and "
    "replayed together",
    "replayed_images": "those gradient images that came from the memory",
    "train_seconds": "seconds from before each task's first batch to its evaluation, all of them: also reading, Fisher "
    "passes, teachers, what the memory decides, and writing records and checkpoints",
    "eval_seconds": "seconds of all evaluations",
    "memory_bytes": "what is kept of the past at the end: stored images and what stands beside them, and what the "
    "strategy adds (a teacher, Fisher information)",
    "peak_memory_bytes": "the largest memory of the process, or on CUDA of the device",
    "parameters": "numbers that are trained at the end",
    "trials": "settings that the search for the options tried",
    "tuning_seconds": "seconds that the search for the options took",
    "recomputed": "whether every number of the row was computed again from the saved logits, and is the same; else it "
    "is as the runs report it",
    "run_again": "seeds that were executed a second time here, and how far mAP and logits of the two are apart at most",
}
"""Column -> its meaning; the last two stand in csv and json alone, and in a note below each table."""

MADE = {
    "average": "{} after each task, on the tasks until then, mean over tasks",
    "forgetting": "a task's best {} before the last task minus its {} after it, on its own test images and classes; "
    "mean over the tasks before the last, negative where they have improved",
    "forgetting_relative": "forgetting of {} as a share of the best (Kim et al., PRS)",
}
"""What a column's name begins with -> the meaning of what is made of a metric's values, {}."""

GROUPS = {
    "majority": "the classes with the most training images, by the scenario's own lists",
    "moderate": "the classes between majority and minority, by the scenario's own lists",
    "minority": "the classes with the fewest training images, by the scenario's own lists",
}
"""The frequency groups that scenarios name."""


def meaning(column: str) -> str:
    """What a column of `clbench report --columns` shows; empty for what a plugin measures.

    column: as typed, or one of the first columns: `mAP:minority`, `forgetting_CF1@ci95`, `n`.
    """
    name, _, group = column.removesuffix(INTERVAL).partition(":")
    said = _of(name)
    if said and group:
        of_what = GROUPS.get(group, "classes that the scenario names so")
        said = f"mAP of {of_what}" if name == "mAP" else f"{said}; of {group} alone: {of_what}"
    return f"{said}; Student's 95 % interval of the mean over seeds" if said and column.endswith(INTERVAL) else said


def _of(name: str) -> str:
    """The meaning of a column without group and interval."""
    kind, _, rest = name.partition("_")
    metric = rest.removesuffix("_relative")
    made = MADE.get(kind + rest.removeprefix(metric), "") if metric in DEFINITIONS else ""
    return DEFINITIONS.get(name) or made.format(metric, metric)
