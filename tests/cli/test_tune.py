import json
from collections.abc import Callable
from pathlib import Path

import pytest

from clbench.cli.tune import Sampling
from clbench.launch.samplers import SAMPLERS
from clbench.store.folder import find_runs

CommandLine = Callable[..., tuple[int, str, str]]
TUNE = ("tune", "--scenario", "debug", "--view", "validation:0.3", "--trials", "3")


@pytest.mark.slow
def test_tune_then_run_with_what_was_chosen(clbench: CommandLine, tmp_path: Path) -> None:
    code, out, err = clbench(*TUNE, "--strategy", "er,ewc")
    assert code == 0, err
    assert err.splitlines()[-1].endswith("--recipe results/recipes")
    lines = out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "results/recipes/debug/er-linear-reservoir.toml",
        "results/recipes/debug/ewc-linear-none.toml",
    ]
    assert "next: clbench run --scenario debug" in err and not (tmp_path / "results" / "runs").exists()
    tried = [run.config["options"]["train"]["lr"] for run in find_runs(tmp_path / "results" / "tune")]
    assert len(tried) == 6 and len(set(tried)) == 3  # both methods try the same learning rates

    code, _, err = clbench("run", "--scenario", "debug", "--strategy", "er,ewc", "--recipe", "results/recipes")
    assert code == 0 and "recipe results/recipes/debug/er-linear-reservoir.toml: 3 trials on validation:0.3" in err
    er, ewc = find_runs(tmp_path / "results" / "runs")
    assert f"train.lr={er.config['options']['train']['lr']}" in lines[0]
    assert f"strategy.strength={ewc.config['options']['strategy']['strength']}" in lines[1]
    card = clbench("show", f"{ewc.config_hash}/seed0")[1]
    assert "from the recipe: strategy.strength, train.lr" in card and "3 trials on validation:0.3" in card

    clbench("run", "--scenario", "debug", "--strategy", "finetune")
    table = clbench("report", "--columns", "mAP,trials,tuning_seconds")[1]
    assert "options chosen in 3 trials on validation:0.3." in " ".join(table.split())
    assert "finetune: not tuned, as other rows are." in table
    row = next(line for line in table.splitlines() if line.startswith("ewc"))
    assert row.split()[-2] == "3"
    rows = json.loads(clbench("report", "--json")[1])["rows"]
    assert [row["tuning"] for row in rows] == ["3 trials on validation:0.3"] * 2 + [None]


@pytest.mark.slow
def test_the_command_line_comes_before_the_recipe(clbench: CommandLine, tmp_path: Path) -> None:
    clbench(*TUNE, "--strategy", "er")
    (tmp_path / "c.toml").write_text('recipe = "results/recipes"\n[set]\nlr = 0.5\n')
    for extra, lr in (((), 0.5), (("--set", "lr=0.25"), 0.25)):
        out = f"runs{lr}"
        code, _, err = clbench(
            "run", "--scenario", "debug", "--strategy", "er", "--config", "c.toml", "--out", out, *extra
        )
        assert code == 0, err
        [run] = find_runs(tmp_path / out)
        assert run.config["options"]["train"]["lr"] == lr
        assert run.config["recipe"]["overridden"] == ["train.lr"]


@pytest.mark.slow
def test_a_run_that_was_done_without_the_recipe_says_so(clbench: CommandLine, tmp_path: Path) -> None:
    clbench(*TUNE, "--strategy", "er")
    [file] = (tmp_path / "results" / "recipes" / "debug").iterdir()
    recipe = ("--recipe", str(file))
    lr = file.read_text().partition("[settings]")[2].partition("= ")[2].split()[0]
    run = ("run", "--scenario", "debug", "--strategy", "er")
    clbench(*run, "--set", f"lr={lr}")
    assert "without this recipe, though with its options; --rerun records it" in clbench(*run, *recipe)[2]
    clbench(*run, *recipe, "--rerun")
    assert "done already" in (err := clbench(*run, *recipe)[2]) and "without this recipe" not in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--view", "all"), "Expected a view that holds out training images"),
        (("--set", "lr=1"), "Expected options of er to search but it has none"),
        (("--seed", "x"), "Expected --seed like"),
        (("--memory", "none"), "Er replays from a memory"),
        (("--set", "lrr=1"), "Unknown option 'lrr'"),
        (("--device", "tpu"), "Expected --device to be auto, cpu, cuda or cuda:N but got 'tpu'."),
        (("--scenario", "voc-b0-c4"), "Expected --data-root DIR"),
    ],
)
def test_refusals_are_one_sentence_and_write_nothing(
    clbench: CommandLine, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    code, out, err = clbench(*TUNE, "--strategy", "er", *arguments)
    assert code == 2 and not out and sentence in err.splitlines()[-1] and "building" not in err
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_a_recipe_of_another_search_stays(clbench: CommandLine, tmp_path: Path) -> None:
    clbench(*TUNE, "--strategy", "er")
    [file] = (tmp_path / "results" / "recipes" / "debug").iterdir()
    before = file.read_bytes()
    code, _, err = clbench(*TUNE, "--strategy", "er", "--search-seed", "1")
    assert code == 2 and "there is one of another search; --force replaces it." in err and file.read_bytes() == before
    assert clbench(*TUNE, "--strategy", "er", "--search-seed", "1", "--force")[0] == 0
    assert file.read_bytes() != before


@pytest.mark.slow
def test_a_recipe_is_for_every_strategy_of_the_list(clbench: CommandLine, tmp_path: Path) -> None:
    clbench(*TUNE, "--strategy", "er")
    code, _, err = clbench("run", "--scenario", "debug", "--strategy", "er,lwf", "--recipe", "results/recipes")
    assert code == 2 and "lwf-linear-none.toml but there is none; make it with `clbench tune" in err
    assert not (tmp_path / "results" / "runs").exists()


def test_what_the_sampler_may_be() -> None:
    assert [each.value for each in Sampling] == list(SAMPLERS)


def test_show_says_what_is_searched(clbench: CommandLine) -> None:
    assert "`clbench tune` tries 1 to 100000, log" in " ".join(clbench("show", "ewc")[1].split())


def test_what_is_to_be_typed_next_can_be_typed(clbench: CommandLine, tmp_path: Path) -> None:
    code, _, err = clbench(*TUNE[:-1], "1", "--strategy", "finetune", "--recipes", "my recipes")
    assert code == 0 and err.splitlines()[-1].endswith("--recipe 'my recipes'")
