from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest

from clbench.errors import UsageError
from clbench.files import sha256
from clbench.learning.options import TrainOptions
from clbench.options import NoOptions, option
from clbench.running.config import DEFAULT, resolve
from clbench.running.recipe import recipe_file, write

WEIGHTS = {"source": "none", "sha256": None}


def hashed(**settings: object) -> str:
    return resolve("debug", "er", settings=settings).hash(scenario_name="debug", data="d", weights=WEIGHTS)


def test_layers_of_defaults() -> None:
    config = resolve("digits-seq", "dlfl")
    assert config.memory == "prs"
    assert config.options["memory"].size == "400"  # the scenario's
    assert config.head == "dlfl"  # the strategy's
    assert config.options["train"].batch_size == 10  # the dataclass's
    assert resolve("coco-seq", "dlfl").options["memory"].rho == -0.03  # the memory's for that scenario
    assert resolve("coco-seq", "dlfl", settings={"rho": "0.5"}).options["memory"].rho == 0.5  # the user's
    assert resolve("digits-seq", "joint").options["strategy"].passes == 8  # the strategy's for that scenario
    assert resolve("coco-b0-c10", "joint").options["train"].epochs == 20  # the scenario's, not the strategy's


def test_changed_options_are_named() -> None:
    assert resolve("debug", "er").changed == {}
    config = resolve("debug", "er", memory="prs", head="dlfl", settings={"train.lr": "0.5", "replay_batch": 0})
    assert config.changed == {"memory": "prs", "head": "dlfl", "lr": 0.5}
    assert resolve("debug", "ewc", memory="reservoir").changed == {"memory": "reservoir"}
    assert resolve("debug", "ewc", settings={"strength": 2.0}).changed == {"strength": 2.0}
    assert resolve("debug", "dlfl", settings={"rho": 0.25, "heads": 1}).changed == {"rho": 0.25, "heads": 1}
    assert resolve("debug", "er", settings={"weights": "some/folder/a.safetensors"}).changed == {
        "weights": "a.safetensors"
    }


@pytest.mark.parametrize(
    ("strategy", "memory", "settings", "sentence"),
    [
        ("er", "default", {"leraning": 1}, "Unknown option 'leraning'"),
        ("er", "default", {"memory.lr": 1}, "Unknown option 'memory.lr'; did you mean"),
        ("finetune", "default", {"size": 3}, "This run has no memory, so there are no memory options."),
        ("er", "rservoir", {}, "Unknown memory 'rservoir'; did you mean 'reservoir'?"),
        ("err", "default", {}, "Unknown strategy 'err'; did you mean 'er'?"),
        ("finetune", "reservoir", {}, "Finetune has no memory; use --strategy er"),
        ("joint", "prs", {}, "Joint sees all tasks at once"),
        ("er", None, {}, "Er replays from a memory"),
        ("dlfl", None, {}, "Dlfl replays from a memory"),
        ("er", "default", {"head": "dlfl"}, "Expected --head dlfl but got --set head=dlfl; head is no option."),
        ("er", "default", {"head.width": 3}, "Unknown option 'head.width'"),
        ("er", "default", {"lrr": 1}, "Unknown option 'lrr'; did you mean 'lr'?"),
    ],
)
def test_what_does_not_go_together_is_refused(
    strategy: str, memory: str | None, settings: dict[str, object], sentence: str
) -> None:
    with pytest.raises(UsageError) as error:
        resolve("debug", strategy, memory=memory, settings=settings)
    assert sentence in str(error.value)


def test_a_head_that_does_not_go_with_the_strategy_is_refused() -> None:
    with pytest.raises(UsageError, match="Dlfl is the dlfl head with replay; with --head linear"):
        resolve("debug", "dlfl", head="linear")
    with pytest.raises(UsageError, match="Unknown head 'dlf'; did you mean 'dlfl'?"):
        resolve("debug", "er", head="dlf")


def test_a_scenario_may_speak_of_one_head_alone() -> None:
    assert resolve("digits-seq", "er", head="dlfl").options["head"].width == 96
    assert resolve("digits-seq", "er", head="dlfl", settings={"head.width": 48}).options["head"].width == 48
    assert resolve("digits-seq", "er").options["head"] == NoOptions()


def test_a_view_has_one_text() -> None:
    assert resolve("debug", "er", view="all+limited:03 + first:2").view == "limited:3+first:2"
    with pytest.raises(UsageError, match="Expected a view"):
        resolve("debug", "er", view="limited:0")


def test_the_hash_holds_what_changes_numbers_and_nothing_else() -> None:
    base = hashed()
    assert len(base) == 12 and base == hashed()
    assert hashed(lr=0.5) != base
    assert hashed(size=3) != base
    assert hashed(weights="none") == base
    config = resolve("debug", "er")
    assert config.hash(scenario_name="debug", data="other", weights=WEIGHTS) != base
    assert config.hash(scenario_name="other", data="d", weights=WEIGHTS) != base
    assert config.hash(scenario_name="debug", data="d", weights={"source": "file", "sha256": "ab"}) != base
    assert resolve("debug", "er", view="limited:3").hash(scenario_name="debug", data="d", weights=WEIGHTS) != base


def test_a_path_is_no_part_of_the_identity() -> None:
    one, other = (hashed(weights=f"{folder}/w.safetensors") for folder in ("here", "there"))
    assert one == other


PINNED = {
    ("finetune", None, "linear", "all"): "5aad63a5bed7",
    ("er", "reservoir", "linear", "all"): "45bdae4c7bff",
    ("er", "prs", "dlfl", "all"): "b9713a098ac8",
    ("er", "prs", "dlfl", "limited:40"): "9da2d1dafc61",
}
"""Strategy, memory, head and view -> the hash on the debug scenario. One that changes makes finished runs foreign."""


def pinned(strategy: str, memory: str | None, head: str, view: str, **later: Any) -> str:
    config = resolve("debug", strategy, memory=memory, head=head, view=view)
    config = replace(config, options={**config.options, **later})
    return config.hash(scenario_name="debug", data="d", weights=WEIGHTS)


def test_hashes_are_pinned() -> None:
    assert {key: pinned(*key) for key in PINNED} == PINNED


@dataclass(frozen=True)
class TrainOptionsLater(TrainOptions):
    """As if a release had added one."""

    smoothing: float = option(0.0, "a new option, of which 0 is how it was before", neutral=0.0)


def test_a_new_option_at_its_neutral_value_keeps_every_hash() -> None:
    plain = resolve("debug", "er").options["train"]
    values = {f.name: getattr(plain, f.name) for f in fields(plain)}
    key = ("er", "reservoir", "linear", "all")
    assert pinned(*key, train=TrainOptionsLater(**values)) == PINNED[key]
    assert pinned(*key, train=TrainOptionsLater(**values, smoothing=0.1)) != PINNED[key]


def test_processes_that_share_a_run_are_part_of_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hashed(ranks=1) == hashed() != hashed(ranks=2)
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "here"}.items():
        monkeypatch.setenv(name, value)
    shared = resolve("debug", "er")
    assert shared.options["train"].ranks == shared.changed["ranks"] == 2
    assert resolve("debug", "er", settings={"ranks": 1}).options["train"].ranks == 1  # which is refused later


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    file = recipe_file(tmp_path, "debug", "er", "linear", "reservoir")
    search = {"trials": 4, "seconds": 1.5, "view": "validation:0.3"}
    made = {"schema": 1, "scenario": "debug", "strategy": "er", "head": "linear", "memory": "reservoir"}
    write(file, {**made, "settings": {"train.lr": 0.25, "memory.size": "7", "train.epochs": 3}, "search": search})
    return file


def test_a_recipe_stands_between_the_defaults_and_the_user(recipe: Path) -> None:
    config = resolve("debug", "er", settings={"size": 9}, recipe=recipe)
    assert config.options["train"].lr == 0.25  # the recipe's, over the scenario's 1e-3
    assert config.options["memory"].size == "9"  # the user's, over the recipe's
    assert config.options["train"].batch_size == 3  # the scenario's, of which the recipe says nothing
    assert config.changed == {"size": "9", "epochs": 3, "lr": 0.25}
    assert config.given == {"memory.size": "9"}
    assert resolve("debug", "er", recipe=recipe.parents[1]) == resolve("debug", "er", recipe=recipe)


def test_a_recipe_is_recorded_and_no_part_of_the_identity(recipe: Path) -> None:
    config = resolve("debug", "er", settings={"size": 9, "lr": "0.25"}, recipe=recipe)
    assert config.resolved()["recipe"] == {
        "sha256": sha256(recipe),
        "trials": 4,
        "seconds": 1.5,
        "view": "validation:0.3",
        "options": ["train.lr", "train.epochs"],
        "overridden": ["memory.size"],
    }
    plain = resolve("debug", "er", settings={"size": 9, "lr": 0.25, "epochs": 3})
    assert "recipe" not in plain.resolved()
    hashes = [each.hash(scenario_name="debug", data="d", weights=WEIGHTS) for each in (config, plain)]
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("method", "choices", "sentence"),
    [
        (("debug-incremental", "er"), {}, "Expected a recipe for scenario debug-incremental but"),
        (("debug", "finetune"), {}, "Expected a recipe for strategy finetune but"),
        (("debug", "er"), {"head": "dlfl"}, "is for head linear; name another, or run --head linear."),
        (("debug", "er"), {"memory": "prs"}, "is for memory reservoir; name another, or run --memory reservoir."),
    ],
)
def test_a_recipe_of_something_else_is_refused(
    recipe: Path, method: tuple[str, str], choices: dict[str, str], sentence: str
) -> None:
    with pytest.raises(UsageError) as error:
        resolve(*method, recipe=recipe, head=choices.get("head", DEFAULT), memory=choices.get("memory", DEFAULT))
    assert sentence in str(error.value)
