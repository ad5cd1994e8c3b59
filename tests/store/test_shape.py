import json
from pathlib import Path
from typing import Any

import pytest

from clbench.store.folder import find_runs
from clbench.store.shape import LARGEST, SHAPES, Count, Finite, Fraction, Number, agree, check


@pytest.mark.parametrize(
    ("value", "shape", "said"),
    [
        (1, str, "it is 1, not of kind str"),
        (True, Number, "it is true, not of kind number"),
        (2 * LARGEST, Number, "not of kind number"),
        (10**400, Finite, "not of kind finite"),
        (1.5, Fraction, "not of kind fraction"),
        (-1, Count, "not of kind count"),
        (1.0, Count, "not of kind count"),
        ({}, [str], "it is {}, not a list"),
        (["a", 1], [str], "it[1] is 1, not of kind str"),
        ([], {"a": str}, "it is [], not an object"),
        ({}, {"a": str}, "it has no a"),
        ({"a": None}, {"a?": str}, "it.a is null, not of kind str"),
        ({"b": 1}, {"*": str}, "it.b is 1, not of kind str"),
        ({"a": [None]}, {"a": (str, [str])}, "it.a[0] is null, not of kind str"),
        ({"a": {}}, {"a": (str, [str])}, "it.a is {}, not of a kind that stands there"),
    ],
)
def test_what_is_of_another_shape_is_named(value: Any, shape: Any, said: str) -> None:
    with pytest.raises(ValueError, match=".") as error:
        check(value, shape)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("value", "shape"),
    [(1, Number), (0.5, Fraction), (0, Count), (None, (type(None), str)), ({}, {"a?": str}), ({"b": 1}, {"a?": str})],
)
def test_what_fits_passes(value: Any, shape: Any) -> None:
    check(value, shape)


def test_real_runs_have_the_shapes_and_agree(real_store: Path) -> None:
    runs = list(find_runs(real_store))
    assert len(runs) > 4
    for run in runs:
        files = {name: json.loads((run.folder / name).read_text()) for name in SHAPES}
        for name, value in files.items():
            check(value, SHAPES[name])
        agree(files["config.json"], files["env.json"], files["metrics.json"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda env, metrics: env["manifest"]["classes"].append("a"), "different names of classes"),
        (lambda env, metrics: env["manifest"]["tasks"].pop(), "of overall, not 2"),
        (lambda env, metrics: env["manifest"]["groups"].update(x=["z"]), "not of the classes of the data"),
        (lambda env, metrics: env["manifest"]["train_positives"].pop(), "of train_positives, not 6"),
        (lambda env, metrics: metrics["ap"][0].pop(), "a line of ap, not 6"),
        (lambda env, metrics: metrics["matrix"]["OF1"][1].pop(), "a line of OF1, not 3"),
        (lambda env, metrics: metrics["memory_counts"].pop(), "of memory_counts, not 3"),
        (lambda env, metrics: metrics["overall"][1].pop("CF1"), "not always of the same metrics"),
    ],
)
def test_files_that_do_not_belong_together(real_store: Path, change: Any, said: str) -> None:
    folder = next(real_store.glob("debug/er/*/seed0"))
    config, env, metrics = (json.loads((folder / f"{name}.json").read_text()) for name in ("config", "env", "metrics"))
    change(env, metrics)
    with pytest.raises(ValueError, match=said):
        agree(config, env, metrics)
