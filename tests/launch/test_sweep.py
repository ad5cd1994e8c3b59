from pathlib import Path
from typing import Any

import pytest

from clbench.errors import UsageError
from clbench.launch.spec import Spec
from clbench.launch.sweep import Grid, expand
from clbench.running.config import DEFAULT


def grid(**lists: Any) -> Grid:
    return Grid(**{"scenario": ["debug"], "strategy": ["er"], **lists})


def called(*grids: Grid) -> list[str]:
    return [str(spec) for spec in expand(grids)]


def test_a_grid_is_every_combination_with_a_methods_seeds_together() -> None:
    lists = grid(strategy=["er", "dlfl"], memory=["reservoir", "prs"], settings={"lr": ["0.1,0.2"]}, seeds=[0, 1])
    found = expand([lists])
    assert len(found) == 2 * 2 * 2 * 2
    assert [str(spec) for spec in found[:4]] == [
        "debug/er (memory=reservoir, lr=0.1) seed 0",
        "debug/er (memory=reservoir, lr=0.1) seed 1",
        "debug/er (memory=reservoir, lr=0.2) seed 0",
        "debug/er (memory=reservoir, lr=0.2) seed 1",
    ]
    assert {(s.strategy, s.memory, s.settings["lr"]) for s in found} == {
        (strategy, memory, lr)
        for strategy in ("er", "dlfl")
        for memory in ("reservoir", "prs")
        for lr in ("0.1", "0.2")
    }


def test_what_all_share_is_in_every_run(tmp_path: Path) -> None:
    [spec] = expand([grid(view="limited:2", data_root=tmp_path, out=tmp_path / "o", seeds=[7], head=["dlfl"])])
    assert spec == Spec("debug", "er", DEFAULT, "dlfl", "limited:2", {}, 7, tmp_path, tmp_path / "o")


def test_what_stands_there_twice_is_one_run() -> None:
    assert called(grid(seeds=[0, 1]), grid(seeds=[1, 2], strategy=["er", "er"])) == [
        f"debug/er seed {seed}" for seed in (0, 1, 2)
    ]


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        ({"memory.size": ["3,2/class"]}, ["3", "2/class"]),  # a text of a certain form has no comma
        ({"optimizer": ["adam,sgd"]}, ["adam", "sgd"]),  # no more has a choice
        ({"drop_last": ["yes, no"]}, ["yes", "no"]),
        ({"lr": [0.1, 0.2]}, [0.1, 0.2]),
        ({"lr": [0.1, "0.2,0.3"]}, [0.1, "0.2", "0.3"]),
        ({"weights_trained_on": ["cats, dogs"]}, ["cats, dogs"]),  # any text
        ({"weights_trained_on": ["cats, dogs", "birds"]}, ["cats, dogs", "birds"]),
    ],
)
def test_a_comma_separates_values_but_in_any_text(settings: dict[str, Any], values: list[Any]) -> None:
    assert [next(iter(spec.settings.values())) for spec in expand([grid(settings=settings)])] == values


def test_each_mistake_is_told_once_with_its_runs() -> None:
    wrong = grid(strategy=["finetune", "er", "joint"], memory=[DEFAULT, "prs"], seeds=range(5))
    with pytest.raises(UsageError) as error:
        expand([wrong, grid(settings={"lrr": [1]})])
    first, *lines = str(error.value).splitlines()
    assert first.startswith(
        "Expected only runs that can be but 3 of 7 methods cannot; leave them out, or write `default`"
    )
    assert [line.strip().split(":")[0] for line in lines] == [
        "debug/finetune (memory=prs)",
        "debug/joint (memory=prs)",
        "debug/er (lrr=1)",
    ]
    assert "Finetune has no memory" in lines[0] and "Unknown option 'lrr'; did you mean 'lr'?" in lines[2]


def test_of_many_runs_with_one_mistake_some_are_named() -> None:
    with pytest.raises(
        UsageError, match=r"debug/er \(memory=reservoir, head=linear, lr=-1\), .* and 1 more: Expected option lr"
    ):
        expand([grid(memory=["reservoir", "prs"], head=["linear", "dlfl"], settings={"lr": [-1]}), grid()])


def test_one_mistake_in_all_of_it_is_the_error_itself() -> None:
    with pytest.raises(UsageError, match="^Unknown strategy 'err'"):
        expand([grid(strategy=["err"], seeds=[0, 1], settings={"lr": ["1,2"]})])


def test_ten_thousand_seeds_are_no_matter() -> None:
    assert len(expand([grid(seeds=range(10_000))])) == 10_000
