import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clbench.cli import launching
from clbench.cli.what import STATES, chosen_states
from clbench.errors import UsageError
from clbench.launch.spec import Spec
from clbench.store.folder import STATES as IN_FOLDERS

CommandLine = Callable[..., tuple[int, str, str]]
Specs = Callable[..., list[Spec]]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def specs(clbench: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Specs:
    """The runs that a command line is, of which none is begun."""
    found: list[Spec] = []

    def launch(of: list[Spec], *others: Any, **more: Any) -> None:
        found.extend(of)

    monkeypatch.setattr(launching, "launch", launch)

    def parsed(*arguments: str) -> list[Spec]:
        found.clear()
        code, _, err = clbench(*arguments)
        assert code == 0, err
        return list(found)

    return parsed


def names(specs: list[Spec]) -> list[str]:
    return [str(spec) for spec in specs]


TABLE = """
scenario = "debug"
seed = "0..1"
limit = 5
checkpoint_minutes = 2
max_time = "1h"
set = {epochs = 2}

[[cells]]
strategy = ["finetune", "joint"]

[[cells]]
strategy = "er,dlfl"
memory = ["reservoir", "prs"]
seed = [7]

[[cells]]
scenario = "debug-incremental"
strategy = "er"
memory = "default"
seed = 3
view = "first:2"
set = {lr = [0.1, 0.2], epochs = 1}
"""


@pytest.mark.slow
def test_lists_of_the_command_line(specs: Specs) -> None:
    grid = ("--scenario", "debug,debug-incremental", "--strategy", "er", "--strategy", "derpp", "--seed", "0,2")
    found = specs("run", *grid, "--memory", "default,prs", "--head", "linear,dlfl", "--set", "lr=0.1,0.2")
    assert len(found) == 2 * 2 * 2 * 2 * 2 * 2
    assert found[0] == Spec("debug", "er", "default", "linear", settings={"lr": "0.1"}, out=Path("results/runs"))
    assert {spec.head for spec in found} == {"linear", "dlfl"} and {spec.seed for spec in found} == {0, 2}


def test_no_memory_and_each_strategys_own(specs: Specs) -> None:
    assert [spec.memory for spec in specs("run", "--strategy", "finetune", "--memory", "none,default")] == [
        None,
        "default",
    ]
    [spec] = specs("run")
    assert (spec.scenario, spec.strategy, spec.memory, spec.head) == ("digits-seq", "dlfl", "default", "default")


@pytest.mark.parametrize("command", [("sweep", "t.toml"), ("run", "--config", "t.toml")])
def test_each_table_of_cells_is_a_grid_of_its_own(specs: Specs, tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "t.toml").write_text(TABLE)
    found = specs(*command)
    assert names(found) == [
        *(f"debug/{strategy} (epochs=2) seed {seed}" for strategy in ("finetune", "joint") for seed in (0, 1)),
        *(f"debug/{s} (memory={m}, epochs=2) seed 7" for s in ("er", "dlfl") for m in ("reservoir", "prs")),
        *(f"debug-incremental/er (epochs=1, lr={lr}) seed 3" for lr in (0.1, 0.2)),
    ]
    assert [spec.view for spec in found] == ["all+limited:5"] * 8 + ["first:2+limited:5"] * 2


@pytest.mark.slow
def test_what_is_typed_goes_before_every_table(specs: Specs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.toml").write_text(TABLE)
    found = specs("sweep", "t.toml", "--seed", "5", "--set", "epochs=9")
    assert {spec.seed for spec in found} == {5} and {spec.settings["epochs"] for spec in found} == {"9"}
    assert {spec.settings.get("lr") for spec in found} == {None, 0.1, 0.2}
    monkeypatch.setenv("CLBENCH_SEED", "6")
    assert {spec.seed for spec in specs("sweep", "t.toml")} == {6}
    assert {spec.strategy for spec in specs("sweep", "t.toml", "--strategy", "er", "--memory", "prs")} == {"er"}


def test_a_file_without_cells_is_one_grid(specs: Specs, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text(
        'scenario = ["debug"]\nstrategy = ["er"]\nhead = "linear,dlfl"\nseed = [0, 4]\nrecipe = "r"\n'
        'data_root = "d"\nallow_missing = true\n'
        '[set]\n"memory.size" = ["3", "2/class"]\nweights_trained_on = ["a, b", "c"]\n'
    )
    (tmp_path / "r").mkdir()
    with pytest.raises(AssertionError, match=r"Unknown option 'allow_missing'|Expected a recipe of er on debug"):
        specs("sweep", "t.toml")
    (tmp_path / "t.toml").write_text(
        (tmp_path / "t.toml").read_text().replace('recipe = "r"\n', "").replace("allow_m", "#")
    )
    found = specs("sweep", "t.toml")
    assert len(found) == 2 * 2 * 2 * 2 and {spec.data_root for spec in found} == {Path("d")}
    assert {spec.settings["weights_trained_on"] for spec in found} == {"a, b", "c"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[cells]]\nstrateg = 'er'", "Unknown key in cells 1 of t.toml: 'strateg'; did you mean 'strategy'?"),
        (
            "[[cells]]\n[[cells]]\nview = ['all']",
            "Expected view in cells 2 of t.toml to be a single value but got ['all'].",
        ),
        ("[[cells]]\nout = 'elsewhere'", "Unknown key in cells 1 of t.toml: 'out'"),
        ("[[cells]]\nlimit = 'few'", "Expected cells 1 of t.toml to be options but got: "),
        ("[[cells]]\nset = 3", "Expected set in cells 1 of t.toml to be a table of options but got 3."),
        ("[[cells]]\nseed = ['x']", "Expected --seed like 0, 0..4 or 0,2,5 but got 'x'."),
        ("max_time = '1h'\ntrack = 'wandb'\nscenario = 'debug'\nstrategy = 'err'", "Unknown strategy 'err'"),
        ("cells = 3", "Expected tables [[cells]] in t.toml but got 3."),
        ("cells = []", "Expected tables [[cells]] in t.toml but got []."),
        ("[[cells]]\nstrategy = ['er', 'err']\nscenario = 'debug'", "  debug/err: Unknown strategy 'err'"),
    ],
)
@pytest.mark.parametrize("verb", ["sweep", "plan"])
def test_a_bad_file_is_one_sentence(clbench: CommandLine, tmp_path: Path, verb: str, text: str, sentence: str) -> None:
    (tmp_path / "t.toml").write_text(text)
    code, out, err = clbench(verb, "t.toml")
    assert (code, out) == (2, "") and sentence in err and "building" not in err and "Traceback" not in err


def test_states_that_are_chosen() -> None:
    assert chosen_states(None) == set() and chosen_states("failed, new") == {"failed", "new"}
    assert set(STATES) - {"new"} < set(IN_FOLDERS)
    with pytest.raises(UsageError, match="Unknown state in --only: 'fail'; did you mean 'failed'"):
        chosen_states("new,fail")


@pytest.mark.slow
def test_the_documentations_file_makes_the_reference_table(
    specs: Specs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reference_tables import REFERENCES

    page = (ROOT / "docs" / "sweeps.md").read_text(encoding="utf-8")
    [text] = [block for block in re.findall(r"```toml\n(.*?)```", page, re.DOTALL) if "recipe" in block]
    (tmp_path / "sweep.toml").write_text(text.replace("results/recipes", str(ROOT / "results" / "recipes")))
    found = specs("sweep", "sweep.toml")
    monkeypatch.chdir(ROOT)
    expected = {method: config.options for method, config in REFERENCES["digits-seq"].configs().items()}
    configs = [spec.config() for spec in found if spec.seed == 0]
    assert {(each.strategy, each.head, each.memory or "none"): each.options for each in configs} == expected
    assert len(configs) == len(expected) and sorted({spec.seed for spec in found}) == list(range(10))
