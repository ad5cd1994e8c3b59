import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from installed import installed

from clbench import plugins
from clbench.cli.facts import PLURALS
from clbench.learning.options import TrainOptions
from clbench.models import ModelOptions
from clbench.options import infos, names

CommandLine = Callable[..., tuple[int, str, str]]


def test_every_plugin_is_listed_with_its_first_sentence(clbench: CommandLine) -> None:
    code, out, _ = clbench("list")
    listed = json.loads(clbench("list", "--json")[1])
    assert code == 0 and [line for line in out.splitlines() if line.isupper()] == [
        "SCENARIOS",
        "STRATEGIES",
        "MEMORIES",
        "HEADS",
        "BACKBONES",
        "DATASETS",
    ]
    for kind, plural in PLURALS.items():
        known = plugins.available(kind)
        assert [entry["name"] for entry in listed[plural]] == list(known)
        for entry in listed[plural]:
            assert entry["summary"] == known[entry["name"]].summary() and f"\n  {entry['name']}  " in f"\n{out}"
            assert entry["missing"] == known[entry["name"]].missing
            assert not entry["missing"] or f"Not installed: {entry['missing']}\n" in out
    assert "\n  debug" not in out and max(map(len, out.splitlines())) <= 80


def test_one_kind_alone(clbench: CommandLine) -> None:
    assert list(json.loads(clbench("list", "memories", "--json")[1])) == ["memories"]
    code, _, err = clbench("list", "memory")
    assert code == 2 and "Unknown kind 'memory'; did you mean 'memories'?" in err


def test_a_strategys_card(clbench: CommandLine) -> None:
    code, out, _ = clbench("show", "dlfl")
    card, head = json.loads(clbench("show", "dlfl", "--json")[1])  # two plugins have the name
    assert (head["kind"], head["module"]) == ("head", "clbench.models.heads.dlfl")
    assert "dlfl (head, clbench.models.heads.dlfl)" in out and "width=0:" in out
    assert code == 0 and out.startswith("dlfl (strategy, strategies.dlfl)")
    assert (card["kind"], card["head"], card["memory"]) == ("strategy", "dlfl", "prs")
    assert "Head dlfl, memory prs by default." in out


def test_a_scenarios_card_without_and_with_its_data(clbench: CommandLine, tmp_path: Path) -> None:
    plain = json.loads(clbench("show", "debug", "--json")[1])
    assert plain["kind"] == "scenario" and len(plain["tasks"]) == 3 and "data" not in plain
    code, out, _ = clbench("show", "debug", "--data-root", str(tmp_path))
    assert code == 0 and "7 training and 3 test images" in out and "Protocol" in out


def test_a_card_says_whose_tasks_it_shows_where_each_seed_has_its_own(clbench: CommandLine, tmp_path: Path) -> None:
    command = ("show", "debug-incremental", "--set", "order=seed", "--data-root", str(tmp_path))
    code, out, _ = clbench(*command)
    assert code == 0 and "Tasks of seed 0; every other seed draws its own" in out and "Data of seed 0 (manifest" in out
    assert "class order: drawn from the seed" in out
    card = json.loads(clbench(*command, "--json")[1])
    given = json.loads(clbench("show", "debug-incremental", "--set", "order=random:0", "--json")[1])
    assert card["tasks"] == given["tasks"] and (card["tasks_of_seed"], given["tasks_of_seed"]) == (0, None)


def test_a_memorys_card_has_its_options(clbench: CommandLine) -> None:
    code, out, _ = clbench("show", "prs")
    assert code == 0 and "Options (--set KEY=VALUE)" in out and "rho=" in out and "on coco-seq" in out


@pytest.mark.parametrize(("section", "options"), [("train", TrainOptions), ("model", ModelOptions)])
def test_the_options_of_every_run_have_a_card(clbench: CommandLine, section: str, options: type) -> None:
    code, out, _ = clbench("show", section)
    card = json.loads(clbench("show", section, "--json")[1])
    assert code == 0 and [each["name"] for each in card["options"]] == names(options)
    for each in infos(options):
        assert f"\n  {each.name}=" in out and card["options"][names(options).index(each.name)]["bounds"] == each.bounds
    assert "PRS (Kim et al., ECCV 2020)" in out and "(at least 1" in out


def test_a_card_tells_what_a_run_takes_by_default(clbench: CommandLine) -> None:
    out = clbench("show", "table")[1]
    assert "What `clbench run --scenario table --strategy dlfl` takes" in out
    assert "\n  backbone: resnet101 from random weights\n" in out
    out = " ".join(clbench("show", "digits-seq", "--strategy", "er")[1].split())
    assert "backbone=small (scenario)" in out and "lr=0.001 (scenario)" in out and "weights=none," in out
    out = " ".join(clbench("show", "er", "--scenario", "coco-b0-c10")[1].split())
    assert "--scenario coco-b0-c10 --strategy er` takes" in out and "epochs=20 (scenario)" in out


def test_lists_and_cards_are_as_wide_as_the_terminal(clbench: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = "COCOseq: 70 COCO classes in 4 tasks, long-tailed, by PRS's official id lists or by a rule of the same kind."
    assert wide not in clbench("list")[1] and wide not in clbench("show", "coco-seq")[1]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "140")
    assert wide in clbench("list")[1] and wide in clbench("show", "coco-seq")[1]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("show", "er", "--set", "lr=1"), "Expected --set with a scenario but er is a strategy; leave it out."),
        (("show", "debug", "--set", "no=1"), "Unknown option 'no'"),
        (
            ("show", "prs", "--scenario", "debug"),
            "Expected --scenario with a strategy but prs is a memory; leave it out.",
        ),
        (("show", "er", "--strategy", "er"), "Expected --strategy with a scenario but er is a strategy; leave it out."),
        (("show", "coco-seq", "--data-root", "."), "Expected --set splits=DIR"),
        (("show", "debug", "--strategy", "err"), "Unknown strategy 'err'; did you mean 'er'?"),
        (("show", "digit-seq"), "Unknown plugin 'digit-seq'; did you mean 'digits-seq'?"),
    ],
)
def test_what_cannot_be_shown(clbench: CommandLine, arguments: tuple[str, ...], sentence: str) -> None:
    code, out, err = clbench(*arguments)
    assert code == 2 and sentence in err and not out


@pytest.mark.parametrize("kind", PLURALS)
def test_cards_fit_80_columns_but_for_the_names_of_tests(clbench: CommandLine, kind: plugins.Kind) -> None:
    for name in installed(kind):
        out = clbench("show", name)[1]
        assert [line for line in out.splitlines() if len(line) > 80 and "::test_" not in line] == []
