import pytest

from clbench import plugins
from clbench.cli import facts
from clbench.errors import UsageError
from clbench.models import ModelOptions
from clbench.running.config import resolve
from clbench.scenario.sources import DATASETS


def test_every_kind_is_listed() -> None:
    for kind, plural in facts.PLURALS.items():
        assert [entry["name"] for entry in facts.listed(plural)] == list(plugins.available(kind))
    assert [entry["name"] for entry in facts.listed("backbones")] == list(
        ModelOptions.__dataclass_fields__["backbone"].metadata["choices"]
    )
    datasets = {entry["name"]: entry["summary"] for entry in facts.listed("datasets")}
    assert {name: dataset.title for name, dataset in DATASETS.items()}.items() <= datasets.items()


def test_the_effective_defaults_are_those_of_a_run() -> None:
    for scenario, strategy in (("coco-b0-c10", "joint"), ("digits-seq", "dlfl"), ("table", "er")):
        told, config = facts.effective(scenario, strategy), resolve(scenario, strategy)
        assert (told["head"], told["memory"]) == (config.head, config.memory)
        values = {
            section: {option: each["value"] for option, each in options.items()}
            for section, options in told["options"].items()
        }
        assert values == config.resolved()["options"]


def test_who_says_a_default() -> None:
    options = facts.effective("coco-seq", "dlfl", {"image_size": "64"})["options"]
    assert options["memory"]["rho"] == {"value": -0.03, "from": "prs on coco-seq"}
    assert options["model"]["backbone"] == {"value": "resnet101", "from": "scenario"}
    assert options["train"]["optimizer"] == {"value": "adam", "from": ""}
    assert options["scenario"]["image_size"] == {"value": 64, "from": "set"}
    passes = facts.effective("digits-seq", "joint")["options"]["strategy"]["passes"]
    assert passes == {"value": 8, "from": "joint on digits-seq"}


def test_what_does_not_go_together_is_told_and_unknown_names_are_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins.load("strategy", "er"), "incompatible", classmethod(lambda cls, **_: "er hates it"))
    assert facts.effective("debug", "er")["refused"] == "Er hates it."
    with pytest.raises(UsageError, match="Unknown scenario 'no'"):
        facts.effective("no", "er")
