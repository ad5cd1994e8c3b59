"""Names, and how a builder comes to its options: on made builders, and on the plugins that are there."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clbench import Scenario, ScenarioBuilder, plugins
from clbench.data.collection import DataPart
from clbench.errors import DataError, UsageError
from clbench.options import NoOptions, option
from clbench.scenario.builder import load_builder
from scenarios._debug import Debug
from scenarios.coco_seq import CocoSeq
from scenarios.table import Table


class Plain(ScenarioBuilder):
    def tasks(self) -> None:
        return None

    def protocol(self) -> dict[str, str]:
        return {}

    def build(self) -> Scenario:
        raise NotImplementedError


@dataclass(frozen=True)
class WideOptions:
    width: int = option(3, "a number")


class Family(Plain):
    """Knows its options when it knows its name."""

    def __init__(self, options: Any = None, data_root: Path | None = None, *, name: str) -> None:
        self.Options = WideOptions if name == "wide" else NoOptions
        self.defaults: Mapping[str, Mapping[str, Any]] = {"train": {"epochs": len(name)}}
        self.dataset = f"{name} images"
        super().__init__(options, data_root, name=name)


def test_the_file_names_the_scenario_unless_a_name_is_given() -> None:
    class Elsewhere(Plain):
        __module__ = "somewhere.else._my_own_way"

    assert Elsewhere().name == "my-own-way"
    assert Elsewhere(name="another").name == "another"
    assert Debug().name == "debug"


def test_options_are_the_default_ones_unless_given(tmp_path: Path) -> None:
    assert Plain().options == NoOptions() and Plain().data_root is None
    wide = Family(name="wide")
    assert wide.options == WideOptions(3)
    other = wide.configured(WideOptions(5), tmp_path)
    assert type(other) is Family and (other.name, other.options, other.data_root) == ("wide", WideOptions(5), tmp_path)
    assert (wide.options, wide.data_root) == (WideOptions(3), None)  # left as it was


def test_builders_of_a_family_are_apart() -> None:
    wide, narrow = Family(name="wide"), Family(name="narrow")
    assert (wide.Options, narrow.Options, Family.Options) == (WideOptions, NoOptions, NoOptions)
    assert (wide.defaults, narrow.defaults, Family.defaults) == ({"train": {"epochs": 4}}, {"train": {"epochs": 6}}, {})
    assert (wide.dataset, narrow.dataset, Family.dataset) == ("wide images", "narrow images", "")


def test_options_and_data_may_make_another_scenario_of_a_plugin(tmp_path: Path) -> None:
    coco = load_builder("coco-seq")
    assert isinstance(coco, CocoSeq) and coco.name == "coco-seq"
    assert coco.configured(coco.Options(splits="rule")).name == "coco-seq-rule"
    (tmp_path / "table.toml").write_text('name = "animals"\nfile = "a.csv"\nlabels = "labels"\nbase = 1\nstep = 1\n')
    table = load_builder("table")
    assert isinstance(table, Table) and table.name == "table"
    own = table.configured(table.options, tmp_path)
    assert own.name == "table-animals" and own.configured(own.options).name == "table"


@pytest.mark.parametrize("name", plugins.available("scenario", hidden=True))
def test_every_plugin_has_a_builder_of_its_name(name: str) -> None:
    builder = load_builder(name)
    assert builder.name == name and type(builder.options) is builder.Options
    assert type(builder).__module__ == plugins.find("scenario", name).module
    assert {"images", "missing", "replay_labels", "eval_images", "threshold", "class order"} <= set(builder.protocol())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("coco", "Unknown scenario 'coco'; did you mean 'coco-seq'"),
        ("coco-seq-rule", "Unknown scenario 'coco-seq-rule'; did you mean 'coco-seq'"),
        ("coco-b0-c7", "divide 80 classes evenly but got base 0 and step 7; choose a step that divides 80"),
        ("voc-b15-c2", "divide 20 classes evenly but got base 15 and step 2; choose a step that divides 5"),
    ],
)
def test_a_name_that_is_none(name: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        load_builder(name)


def test_a_builder_that_is_not_seeded_is_the_same_for_every_seed() -> None:
    plain = Plain()
    assert not plain.seeded and plain.of_seed(3) is plain


def test_a_seeded_one_is_another_for_each_seed_and_left_as_it_was(tmp_path: Path) -> None:
    class Seeded(Plain):
        seeded = True

    builder = Seeded(data_root=tmp_path, name="drawn")
    third = builder.of_seed(3)
    assert type(third) is Seeded and (third.seed, third.name, third.data_root) == (3, "drawn", tmp_path)
    assert builder.seed == 0 and third.of_seed(0).seed == 0


class FromFiles(Plain):
    holds = "some photographs"

    def data_parts(self) -> tuple[DataPart, ...]:
        return (DataPart("photographs/", "some"),)


def test_what_is_not_given_is_told_before_data_are_looked_for(tmp_path: Path) -> None:
    Plain().check()
    Plain(data_root=tmp_path / "nowhere").check()  # it needs none
    FromFiles(data_root=tmp_path).check()  # what stands there is for build to tell
    with pytest.raises(UsageError, match="Expected --data-root DIR, the folder of some photographs, but got none"):
        FromFiles().check()
    with pytest.raises(DataError, match="Expected the folder of some photographs at .*nowhere but there is none"):
        FromFiles(data_root=tmp_path / "nowhere").check()


def test_all_that_is_wanting_is_told_at_once() -> None:
    with pytest.raises(UsageError, match="--data-root DIR, .*, and --set splits=DIR.* but got neither"):
        CocoSeq().check()
