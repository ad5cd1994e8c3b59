"""Views: a scenario seen in part. A view is a text, part of a configuration's identity and of every table's title.

all           the whole scenario
limited:N     at most N training and N test images of each task: a trial of the machinery, no result
first:K       the first K tasks alone
A+B           A, and then B of what it leaves
"""

import re
from dataclasses import replace

import numpy as np

from clbench.arrays import IntArray
from clbench.errors import UsageError
from clbench.randomness import generator
from clbench.scenario.tasks import Scenario, Task

ALL = "all"
"""The view of a whole scenario."""
KNOWN = "all, limited:N, first:K, or several of these joined by +"


def canonical(text: str) -> str:
    """A view as it stands in configurations: one text for one view.

    Raises:
        UsageError: no such view.
    """
    parts = [_part(part.strip()) for part in text.split("+")]
    return "+".join(f"{name}:{number}" for name, number in parts if name != ALL) or ALL


def seen_through(scenario: Scenario, view: str) -> Scenario:
    """The part of a scenario that a view shows; its notes say what was left out.

    Raises:
        UsageError: no such view, or more tasks than there are.
    """
    for name, number in map(_part, canonical(view).split("+")):
        if name == "limited":
            scenario = limited(scenario, number)
        elif name == "first":
            scenario = first(scenario, number)
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


def _part(text: str) -> tuple[str, int]:
    """Name and number of a view that is no combination; 0 where it has none."""
    match = re.fullmatch(r"(limited|first):(\d{1,9})", text, re.ASCII)
    if match and int(match[2]) > 0:
        return match[1], int(match[2])
    if text == ALL:
        return ALL, 0
    raise UsageError(f"Expected a view, {KNOWN}, with numbers above 0, but got {text!r}.")
