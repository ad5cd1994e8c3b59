"""The shape of a run's JSON files: what every reader may rely on, wherever a folder comes from. Needs no torch.

A shape is a type, a tuple of shapes of which one fits, `[shape]` for a list, or a dict for an object: key -> shape,
`key?` for one that older runs lack, `*` for all other keys. What is not named may be anything.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

LARGEST = 1e15
"""Of any number in a run's files; more is damage, and would overflow in a mean."""


class Number:
    """A finite number of plausible size."""


class Finite:
    """Any number that is one in floating point."""


class Fraction:
    """A number from 0 to 1."""


class Count:
    """A whole number from 0 on."""


BOUNDS: Mapping[type, tuple[float, float]] = {
    Finite: (-sys.float_info.max, sys.float_info.max),
    Number: (-LARGEST, LARGEST),
    Fraction: (0, 1),
    Count: (0, LARGEST),
}
NOTHING = type(None)
VALUE = (NOTHING, bool, Finite, str)
"""An option's value."""
OPTIONS = {"*": VALUE}
OVERALL = {"mAP": (Number, NOTHING), "*": (Number, NOTHING)}

STATUS = {"state": str, "reason?": (str, NOTHING), "time?": str}
CONFIG = {
    "head": str,
    "memory": (str, NOTHING),
    "view": str,
    "joint?": bool,
    "seed?": Count,
    "options": {"model": OPTIONS, "train": OPTIONS, "*": OPTIONS},
    "changed": OPTIONS,
    "protocol": {"*": str},
    "paper?": (NOTHING, {"name": str, "settings": {"*": [VALUE]}, "beyond": [str]}),
    "recipe?": {"trials": Count, "seconds": Number, "view": str, "sha256": str, "options": [str], "overridden": [str]},
    "identity?": {"*": object},
    "trained_by?": str,
}
ENV = {
    "manifest": {
        "hash": str,
        "classes": [str],
        "groups": {"*": [str]},
        "tasks": [{"classes": [str], "name?": str, "train?": Count, "test?": Count}],
        "notes": [str],
        "train_positives?": [Count],
        "drawn?": {"seed": Count, "source": str},
    },
    "weights?": {"*": VALUE},
    "git?": (NOTHING, {"commit": str, "dirty?": bool}),
    "packages?": {"*": (str, NOTHING)},
    "python?": str,
    "command?": [str],
}
METRICS = {
    "joint": bool,
    "final": OVERALL | {"classes?": Count},
    "groups": {"*": OVERALL},
    "overall": [OVERALL],
    "matrix": {name: [[(Fraction, NOTHING)]] for name in ("mAP", "CF1", "OF1")},
    "ap": [[(Fraction, NOTHING)]],
    "positives": [Count],
    "positive_angle": [(Number, NOTHING)],
    "angle_by_positives?": [[[Number]]],
    "memory_counts?": (NOTHING, [(NOTHING, [Count])]),
    "cost": {
        **dict.fromkeys(("memory_bytes", "peak_memory_bytes", "parameters"), Count),
        **dict.fromkeys(("train_seconds", "eval_seconds"), [Number]),
        "*": (Number, NOTHING, [Number]),
    },
}
HEARTBEAT = {
    "schema": Count,
    **dict.fromkeys(("host", "since", "at"), str),
    **dict.fromkeys(("pid", "beat", "task", "tasks", "step", "steps", "done_steps", "total_steps"), Count),
    "images_per_second": (Number, NOTHING),
    "interval_s": Number,
}

LOAD = {
    "kind": {**dict.fromkeys(("scenario", "strategy", "head", "backbone", "device"), str), "memory": (str, NOTHING)},
    "processor": str,
    "options": {"train": {"batch_size": Count, "*": VALUE}, "*": OPTIONS},
    **dict.fromkeys(("learned", "scored"), Count),
}
PLAN = {
    "schema": Count,
    "time": str,
    "command": [str],
    "runs": [{"folder": str, "called": str, "steps": Count, "spec": {"*": object}, "load": {"*": object}}],
}
SHAPES: Mapping[str, Any] = {
    "status.json": STATUS,
    "config.json": CONFIG,
    "env.json": ENV,
    "metrics.json": METRICS,
}


def check(value: Any, shape: Any, where: str = "it") -> None:
    """Raises ValueError, which says where a JSON value is of another shape."""
    if isinstance(shape, tuple):
        _one_of(value, shape, where)
    elif isinstance(shape, list):
        _expect(isinstance(value, list), "a list", value, where)
        for number, item in enumerate(value):
            check(item, shape[0], f"{where}[{number}]")
    elif isinstance(shape, dict):
        _expect(isinstance(value, dict), "an object", value, where)
        _object(value, shape, where)
    else:
        _expect(_is(value, shape), f"of kind {shape.__name__.lower()}", value, where)


def agree(config: Mapping[str, Any], env: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> None:
    """Raises ValueError where files of the right shapes do not belong together. metrics: of a run that is done."""
    manifest = env["manifest"]
    classes, tasks = manifest["classes"], manifest["tasks"]
    known = set(classes)
    _equal("different names of classes", len(known), len(classes))
    _expect(bool(classes), "a list of any", classes, "manifest.classes")
    _expect(bool(tasks), "a list of any", tasks, "manifest.tasks")
    for names in (*(task["classes"] for task in tasks), *manifest["groups"].values()):
        _expect(known >= set(names), "of the classes of the data", names, "a task or a group")
    if "train_positives" in manifest:
        _equal("train_positives", len(manifest["train_positives"]), len(classes))
    if config["memory"] is not None:
        check(config["options"].get("memory"), {"size": VALUE}, "options.memory")
    if metrics is not None:
        _sizes(metrics, len(tasks), len(classes))


def _sizes(metrics: Mapping[str, Any], tasks: int, classes: int) -> None:
    evaluations = 1 if metrics["joint"] else tasks
    _equal("overall", len(metrics["overall"]), evaluations)
    _equal("ap", len(metrics["ap"]), evaluations)
    _equal("positives", len(metrics["positives"]), classes)
    _expect(bool(metrics["positive_angle"]), "a list of any", [], "positive_angle")
    for name, lines in (*metrics["matrix"].items(), ("ap", metrics["ap"])):
        _equal(name, len(lines), evaluations)
        for line in lines:
            _equal(f"a line of {name}", len(line), classes if name == "ap" else tasks)
    by_positives = metrics.get("angle_by_positives")
    _equal("angle_by_positives", evaluations if by_positives is None else len(by_positives), evaluations)
    for point in (point for evaluation in by_positives or () for point in evaluation):
        _equal("a point of angle_by_positives", len(point), 3)
    counts = metrics.get("memory_counts") or []
    for line in counts:
        _equal("a line of memory_counts", classes if line is None else len(line), classes)
    _equal("memory_counts", len(counts) or evaluations, evaluations)
    first = metrics["overall"][0].keys()
    same = all(after.keys() == first for after in metrics["overall"])
    _expect(same, "always of the same metrics", sorted(first), "overall")


def _one_of(value: Any, shapes: tuple[Any, ...], where: str) -> None:
    """Of alternatives at most one is an object and one a list: theirs is what a wrong object or list is told."""
    for shape in shapes:
        if isinstance(shape, dict | list) and isinstance(value, type(shape)):
            check(value, shape, where)
            return
        if not isinstance(shape, dict | list) and _is(value, shape):
            return
    _expect(False, "of a kind that stands there", value, where)


def _object(value: Mapping[str, Any], shape: Mapping[str, Any], where: str) -> None:
    named = {key.removesuffix("?"): key for key in shape if key != "*"}
    for name, key in named.items():
        if name in value:
            check(value[name], shape[key], f"{where}.{name}")
        elif not key.endswith("?"):
            raise ValueError(f"{where} has no {name}")
    for name in value.keys() - named.keys() if "*" in shape else ():
        check(value[name], shape["*"], f"{where}.{name}")


def _is(value: Any, kind: type) -> bool:
    if kind in BOUNDS:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        low, high = BOUNDS[kind]
        return low <= value <= high and (kind is not Count or isinstance(value, int))
    return isinstance(value, kind)


def _equal(what: str, got: int, expected: int) -> None:
    if got != expected:
        raise ValueError(f"there are {got} of {what}, not {expected}")


def _expect(fits: bool, what: str, value: Any, where: str) -> None:
    if not fits:
        raise ValueError(f"{where} is {json.dumps(value)[:60]}, not {what}")
