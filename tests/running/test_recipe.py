import math
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.errors import StoreError, UsageError
from clbench.files import sha256
from clbench.running.recipe import as_toml, read, recipe_file, recipe_for, write

TEXT = st.text(st.sampled_from("aB1-_. =[]#\"'\\\n\t\x00\x1f\x7f\x85é\u2028😀"), max_size=8)
PLAIN = TEXT | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.booleans()
VALUES = PLAIN | st.lists(PLAIN, max_size=3)
TABLES = st.recursive(
    st.dictionaries(TEXT, VALUES, max_size=3),
    lambda inner: st.dictionaries(TEXT, VALUES | inner | st.lists(inner, min_size=1, max_size=2), max_size=3),
    max_leaves=8,
)
METHOD = ("debug", "er", "linear", None)


def recipe(**changes: Any) -> dict[str, Any]:
    search = {"trials": 20, "seconds": 12.5, "view": "validation:0.1"}
    made = {"schema": 1, "scenario": "debug", "strategy": "er", "head": "linear", "memory": "none"}
    return {**made, "settings": {"train.lr": 0.25, "head.width": 8}, "search": search, **changes}


@given(TABLES)
def test_toml_is_read_back_as_it_was(table: dict[str, Any]) -> None:
    assert tomllib.loads(as_toml(table)) == table


def test_a_score_that_is_none_is_nan() -> None:
    [trial] = tomllib.loads(as_toml({"trials": [{"score": math.nan}]}))["trials"]
    assert math.isnan(trial["score"])
    with pytest.raises(TypeError, match="a recipe holds no NoneType"):
        as_toml({"a": None})


def test_a_recipe_comes_back(tmp_path: Path) -> None:
    file = recipe_file(tmp_path, *METHOD)
    assert file == tmp_path / "debug" / "er-linear-none.toml"
    write(file, recipe())
    found = recipe_for(tmp_path, *METHOD)
    assert found == recipe_for(file, *METHOD) == read(file)
    assert (found.settings, found.trials, found.seconds) == ({"train.lr": 0.25, "head.width": 8}, 20, 12.5)
    assert found.sha256 == sha256(file)
    assert [each.name for each in file.parent.iterdir()] == [file.name]
    assert '[settings]\n"train.lr" = 0.25\n' in file.read_text()  # keys are quoted where they must be


def test_a_text_that_no_file_can_hold_has_question_marks(tmp_path: Path) -> None:
    write(tmp_path / "a.toml", recipe(settings={"model.weights": "a\udcff.safetensors"}))
    assert read(tmp_path / "a.toml").settings == {"model.weights": "a?.safetensors"}


def test_the_record_says_what_holds(tmp_path: Path) -> None:
    write(tmp_path / "a.toml", recipe())
    record = read(tmp_path / "a.toml").record({"train": {"lr": 0.25}, "head": {"width": 9}})
    assert (record["options"], record["overridden"]) == (["train.lr"], ["head.width"])


def test_a_folder_without_the_methods_recipe(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        recipe_for(tmp_path, *METHOD)
    assert "there is none; make it with `clbench tune --scenario debug --strategy er`" in str(error.value)
    with pytest.raises(UsageError, match="there is none"):
        recipe_for(tmp_path / "nowhere", *METHOD)


@pytest.mark.parametrize(
    "harm",
    [
        {"settings": 3},
        {"settings": {"lr": 0.25}},
        {"search": {}},
        {"search": {"trials": "many", "seconds": 1.0, "view": "validation:0.1"}},
        {"search": {"trials": 3, "seconds": math.nan, "view": "validation:0.1"}},
        {"schema": 2},
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, harm: dict[str, Any]) -> None:
    write(tmp_path / "a.toml", recipe(**harm))
    with pytest.raises(
        UsageError, match="Expected a recipe that `clbench tune` made, schema 1, but .*; make it again.$"
    ):
        read(tmp_path / "a.toml")


@pytest.mark.parametrize("content", [b"a = ", b"\xff", b"a = " + b"[" * 5000])
def test_a_file_that_is_no_toml(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(UsageError, match="Expected a recipe, a TOML file, but"):
        read(tmp_path / "a.toml")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose another folder with --recipes"):
        write(tmp_path / "file" / "a.toml", recipe())
