"""Papers' settings: what a run records of them, and that every one can be compared with an option."""

from collections.abc import Iterator
from typing import Any

import pytest

from clbench import plugins
from clbench.errors import UsageError
from clbench.learning.options import TrainOptions
from clbench.models import ModelOptions
from clbench.options import build, names
from clbench.running.build import Prepared, build_scenario
from clbench.running.config import resolve
from clbench.scenario.builder import ScenarioBuilder, load_builder
from clbench.scenario.listed import DEFAULTS
from clbench.scenario.paper import Paper
from scenarios._debug import Debug
from scenarios.coco_seq import CocoSeq, Options

PAPER = Paper(
    "A (B 2020)",
    {
        "model": {"backbone": ("Small", "small"), "weights": "imagenet"},
        "memory": {"size": "7"},
        "memory.prs": {"rho": 0.5},
        "memory.reservoir": {"off_by_one": True},
        "head.linear": {},
    },
    beyond=("flips",),
)


def builders() -> Iterator[ScenarioBuilder]:
    yield from map(load_builder, plugins.available("scenario"))


def options_of(builder: ScenarioBuilder, scope: str) -> type[Any]:
    section, _, name = scope.partition(".")
    if section in ("memory", "head"):
        cls: type[Any] = plugins.load(section, name or "reservoir").Options  # type: ignore[arg-type]
        return cls
    return {"scenario": builder.Options, "model": ModelOptions, "train": TrainOptions}[section]


def test_every_setting_is_an_option_and_a_value_of_its_type_is_one_it_takes() -> None:
    known = [(builder, paper) for builder in builders() if (paper := builder.paper())]
    assert {builder.name for builder, _ in known} >= {
        "coco-seq",
        "nuswide-seq",
        "coco-b0-c10",
        "voc-b0-c4",
        "split-coco",
    }
    for builder, paper in known:
        for scope, values in paper.settings.items():
            cls = options_of(builder, scope)
            for option, value in values.items():
                assert option in names(cls), (builder.name, scope, option)
                for each in value if isinstance(value, tuple) else (value,):
                    try:
                        assert getattr(build(cls, {option: each}), option) == each
                    except UsageError:
                        assert isinstance(each, str)  # words for what no option can be


@pytest.mark.parametrize("scenario", ["coco-seq", "nuswide-seq"])
def test_what_prs_is_trained_with_here_is_prss_but_for_weights_and_the_search_for_a_victim(scenario: str) -> None:
    config = resolve(scenario, "er", memory="prs")
    paper = load_builder(scenario).paper()
    assert paper is not None
    record = paper.record(config.options, {"memory": "prs", "head": "linear"})
    ours = config.resolved()["options"]
    different = {
        name: (ours[section][option], theirs)
        for name, theirs in record["settings"].items()
        for section, _, option in [name.partition(".")]
        if ours[section][option] not in theirs
    }
    assert different == {"model.weights": ("none", ["imagenet"]), "memory.official_bound": (False, [True])}
    for section, values in DEFAULTS.items():  # nothing that was read of the release is left out
        assert {f"{section}.{option}" for option in values} <= record["settings"].keys()


def test_the_rule_of_our_own_is_no_papers_scenario() -> None:
    assert CocoSeq(Options(splits="rule")).paper() is None
    assert load_builder("digits-seq").paper() is None and load_builder("voc-b5-c3").paper() is None


def recorded(strategy: str, monkeypatch: pytest.MonkeyPatch, **choices: Any) -> dict[str, Any] | None:
    monkeypatch.setattr(Debug, "paper", lambda self: PAPER)
    config = resolve("debug", strategy, **choices)
    return Prepared(config, build_scenario(config)).paper


def test_a_run_records_what_concerns_it(monkeypatch: pytest.MonkeyPatch) -> None:
    model = {"model.backbone": ["Small", "small"], "model.weights": ["imagenet"]}
    plain, prs = recorded("finetune", monkeypatch), recorded("er", monkeypatch, memory="prs")
    assert plain == {"name": "A (B 2020)", "settings": model, "beyond": ["flips"]}
    assert prs is not None and prs["settings"] == model | {"memory.size": ["7"], "memory.rho": [0.5]}


def test_without_a_paper_nothing_is_recorded() -> None:
    config = resolve("debug", "finetune")
    assert Prepared(config, build_scenario(config)).paper is None


def test_a_paper_is_no_part_of_a_runs_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    config = resolve("debug", "finetune")
    before = Prepared(config, build_scenario(config)).config_hash
    monkeypatch.setattr(Debug, "paper", lambda self: PAPER)
    assert Prepared(config, build_scenario(config)).config_hash == before
