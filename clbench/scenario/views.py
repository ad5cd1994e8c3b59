"""Views: a scenario seen in part. A view is a text, part of a configuration's identity and of every table's title.

all                 the whole scenario
limited:N           at most N training and N test images of each task: a trial of the machinery, no result
first:K             the first K tasks alone
validation[:SHARE]  that share (0.1 unless told) of the training images is held out and tested on, and the test images
                    are nowhere used: what options are chosen on
A+B                 A, and then B of what it leaves
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from clbench.arrays import BoolArray, IntArray
from clbench.errors import UsageError
from clbench.randomness import derive, generator
from clbench.scenario.tasks import Scenario, Task, called

ALL = "all"
"""The view of a whole scenario."""
KNOWN = "all, limited:N, first:K, validation:SHARE, or several of these joined by +"
SHARE = 0.1
"""Of the training images, what `validation` holds out."""


def canonical(text: str) -> str:
    """A view as it stands in configurations: one text for one view.

    Raises:
        UsageError: no such view, or one with two validation sets.
    """
    parts = [_part(part.strip()) for part in text.split("+")]
    if [name for name, _ in parts].count("validation") > 1:
        raise UsageError(f"Expected one validation set in a view but got {text!r}; name one share.")
    return "+".join(f"{name}:{number}" for name, number in parts if name != ALL) or ALL


def seen_through(scenario: Scenario, view: str) -> Scenario:
    """The part of a scenario that a view shows; its notes say what was left out.

    Raises:
        UsageError: no such view, more tasks than there are, or a task without images.
    """
    for name, number in map(_part, canonical(view).split("+")):
        if name == "limited":
            scenario = limited(scenario, int(number))
        elif name == "first":
            scenario = first(scenario, int(number))
        elif name == "validation":
            scenario = validation(scenario, number)
    return scenario


def limited(scenario: Scenario, n: int) -> Scenario:
    """At most n training and n test images of each task, drawn with a fixed seed, in the task's own order."""

    def few(count: int, *purpose: str | int) -> IntArray:
        return np.sort(generator(0, "limit", *purpose).permutation(count)[:n])

    def of(number: int, task: Task) -> Task:
        train, test = few(len(task.train), "train", number), few(len(task.test), "test", number)
        shown = {name: getattr(task, name)[train] for name in ("train", "labels", "known")}
        return replace(task, test=task.test[test], **shown)

    tasks = tuple(of(number, task) for number, task in enumerate(scenario))
    note = f"limited to {n} training and {n} test images of each task"
    return replace(scenario, tasks=tasks, notes=(*scenario.notes, note))


def first(scenario: Scenario, k: int) -> Scenario:
    """The first k tasks. Raises UsageError where there are fewer."""
    if k > len(scenario):
        raise UsageError(f"Expected at most the {len(scenario)} tasks that {scenario.name} has but got first:{k}.")
    if k == len(scenario):
        return scenario
    return replace(scenario, tasks=scenario[:k], notes=(*scenario.notes, f"the first {k} of {len(scenario)} tasks"))


def validation(scenario: Scenario, share: float = SHARE) -> Scenario:
    """Some training images become the test images, and no task trains on them; see `held_out` for which.

    A task is tested on those that it would have trained on; with eval_images=all, on all that any task would have. Of
    their labels only what a task would have shown is scored, see `shown`.

    Raises:
        UsageError: a task is left without training or test images.
    """
    train = scenario.train_indices()
    held = train[held_out([scenario.ids[i] for i in train], share)]
    tasks = []
    for number, task in enumerate(scenario):
        out = np.isin(task.train, held)
        if out.all() or not out.any():
            raise UsageError(
                f"Expected validation:{share} to leave {called(number, task.name)} training and test images but of "
                f"its {len(out):,} training images {int(out.sum()):,} are held out; choose another share or more "
                "images."
            )
        kept = {name: getattr(task, name)[~out] for name in ("train", "labels", "known")}
        test = held if scenario.protocol.get("eval_images") == "all" else task.train[out]
        tasks.append(replace(task, test=test, **kept))
    scored = shown(scenario)
    hidden = scored is not None and not scored[held].all()
    note = f"{len(held):,} of {len(train):,} training images are held out and tested on, the test images nowhere used"
    return replace(
        scenario,
        tasks=tuple(tasks),
        protocol={**scenario.protocol, "test images": f"held out of the training images, share {share}"},
        notes=(*scenario.notes, note + ("; labels that no task shows are not scored" if hidden else "")),
        scored=scored if hidden else None,
    )


def held_out(ids: Sequence[int | str], share: float) -> BoolArray:
    """Which images a validation set takes: (n,) bool.

    Each by itself: a fixed hash of its id (`derive` of seed 0, "validation" and the id) as a number in [0, 1) is below
    the share. So it does not depend on the run's seed, the other images or the tasks, and a larger share takes more.
    """
    return np.array([derive(0, "validation", each) < share * 2.0**63 for each in ids], np.bool_)


def shown(scenario: Scenario) -> BoolArray | None:
    """Which labels some task shows of an image that it trains on: (N, C) bool; None where every label is known.

    With exclusive images every one is: they show classes of one task alone. Otherwise it is what a task says it knows,
    but for the absence of other tasks' classes that `missing=negative` claims without having looked.
    """
    if scenario.protocol.get("images") == "exclusive":
        return None
    found = np.zeros(scenario.labels.shape, np.bool_)
    for task in scenario:
        said = task.known.copy()
        if scenario.protocol.get("missing") == "negative":
            said[:, np.setdiff1d(np.arange(scenario.num_classes), task.classes)] = False
        found[task.train] |= said
    return found


def _part(text: str) -> tuple[str, float]:
    """Name and number of a view that is no combination; 0 where it has none."""
    match = re.fullmatch(r"validation(?::(0?\.\d{1,4}))?", text, re.ASCII)
    if match and (share := float(match[1] or SHARE)) > 0:
        return "validation", share
    match = re.fullmatch(r"(limited|first):(\d{1,9})", text, re.ASCII)
    if match and int(match[2]) > 0:
        return match[1], int(match[2])
    if text == ALL:
        return ALL, 0
    raise UsageError(f"Expected a view, {KNOWN}, with numbers above 0, but got {text!r}.")
