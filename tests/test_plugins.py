import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clbench import plugins
from clbench.errors import PluginError, UsageError
from clbench.scenario.builder import load_builder

Distribution = Callable[..., None]

FINE = '''"""A strategy of a stranger's."""
from clbench import Strategy

class Mine(Strategy):
    pass
'''

FAMILY = '''"""Several scenarios in one file."""
from clbench import ScenarioBuilder

PATTERN = r"tiny-(\\d)"
NAMES = {"tiny-3": "Three of something.", "tiny-1": "One of something."}

class Tiny(ScenarioBuilder):
    def tasks(self):
        return (("a",) * int(self.name[-1]),)

    def protocol(self):
        return {}

    def build(self):
        raise NotImplementedError
'''


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Distribution]:
    """Installs a made distribution with one package of strategies."""
    made: list[str] = []

    def make(package: str, files: dict[str, str], init: str = "", group: str = "clbench.strategies") -> None:
        site = tmp_path / f"site_{package}"
        (site / package).mkdir(parents=True)
        for name, text in {"__init__.py": init, **files}.items():
            (site / package / name).write_text(text)
        info = site / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\nmine = {package}\n")
        monkeypatch.syspath_prepend(str(site))
        made.append(package)

    yield make
    for module in [name for name in sys.modules if name.split(".")[0] in made]:
        del sys.modules[module]


def test_built_in_plugins_are_found_by_file_name() -> None:
    assert set(plugins.available("strategy")) >= {"dlfl", "er", "ewc", "finetune", "joint", "lwf"}
    assert set(plugins.available("scenario")) >= {"digits-seq", "coco-seq"}
    assert set(plugins.available("memory")) >= {"reservoir", "prs"}


def test_a_leading_underscore_hides_from_listings_only() -> None:
    assert "debug" not in plugins.available("scenario")
    assert plugins.load("scenario", "debug").__name__ == "Debug"


@pytest.mark.parametrize("kind", plugins.KINDS)
def test_every_plugin_has_a_summary_that_fits(kind: plugins.Kind) -> None:
    for name, plugin in plugins.available(kind).items():
        assert 10 < len(plugin.summary()) < 140, name


def test_a_third_party_package_is_found_and_loaded(distribution: Distribution) -> None:
    distribution("stranger", {"my_way.py": FINE, "_helper.py": ""})
    assert plugins.available("strategy")["my-way"].summary() == "A strategy of a stranger's."
    assert plugins.load("strategy", "my-way").__name__ == "Mine"


def test_a_file_may_stand_for_a_family_of_scenarios(distribution: Distribution) -> None:
    distribution("stranger", {"many.py": FAMILY}, group="clbench.scenarios")
    listed = plugins.available("scenario")
    assert [name for name in listed if name.startswith("tiny")] == ["tiny-1", "tiny-3"] and "many" not in listed
    assert listed["tiny-3"].summary() == "Three of something."
    assert load_builder("tiny-3").tasks() == (("a", "a", "a"),)
    assert load_builder("tiny-2").name == "tiny-2"  # not listed, but of the pattern
    assert plugins.find("scenario", "tiny-2").summary() == "Several scenarios in one file."
    with pytest.raises(UsageError, match="Unknown scenario 'tiny-22'; did you mean 'tiny-"):
        load_builder("tiny-22")


def test_a_family_without_a_pattern_has_the_names_that_are_listed(distribution: Distribution) -> None:
    closed = FAMILY.replace("PATTERN", "OTHER")
    distribution("stranger", {"many.py": closed}, group="clbench.scenarios")
    assert load_builder("tiny-1").tasks() == (("a",),)
    with pytest.raises(UsageError, match="Unknown scenario 'tiny-2'; did you mean 'tiny-"):
        load_builder("tiny-2")


def test_two_plugins_of_one_name_are_refused(distribution: Distribution) -> None:
    distribution("stranger", {"er.py": FINE})
    with pytest.raises(PluginError, match=r"one strategy named 'er' but got two: strategies\.er and stranger\.er"):
        plugins.available("strategy")


def test_a_broken_package_is_left_out_with_a_warning(distribution: Distribution) -> None:
    distribution("stranger", {}, init="raise ImportError('no such thing')")
    with pytest.warns(UserWarning, match="stranger was left out: ImportError: no such thing"):
        assert "er" in plugins.available("strategy")


def test_a_broken_module_is_listed_but_raises_when_asked_for(distribution: Distribution) -> None:
    distribution("stranger", {"odd.py": '"""Odd."""\nimport no_such_module'})
    assert "odd" in plugins.available("strategy")
    with pytest.raises(
        PluginError, match="'odd' could not be imported from stranger.odd .*No module named 'no_such_module'"
    ):
        plugins.load("strategy", "odd")


def test_a_module_must_define_one_class(distribution: Distribution) -> None:
    second = FINE + "\nclass Other(Mine):\n    pass\n"
    distribution("stranger", {"none.py": '"""None."""\nfrom strategies.er import ExperienceReplay', "two.py": second})
    with pytest.raises(PluginError, match="one subclass of Strategy in stranger.none but got none"):
        plugins.load("strategy", "none")
    with pytest.raises(PluginError, match="one subclass of Strategy in stranger.two but got Mine, Other"):
        plugins.load("strategy", "two")


def test_a_class_that_leaves_out_what_it_must_define_is_refused(distribution: Distribution) -> None:
    lazy = '"""Lazy."""\nfrom clbench import Memory\nclass Lazy(Memory):\n    pass\n'
    distribution("stranger", {"lazy.py": lazy}, group="clbench.memories")
    with pytest.raises(PluginError, match="Expected stranger.lazy.Lazy to define update"):
        plugins.load("memory", "lazy")


def test_an_unknown_name_gives_the_nearest_and_all() -> None:
    with pytest.raises(UsageError, match="Unknown strategy 'dlf'; did you mean 'dlfl'.*Known: .*finetune") as error:
        plugins.load("strategy", "dlf")
    assert "debug" not in str(error.value)


def test_no_plugins_means_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "entry_points", lambda **_: [])
    with pytest.raises(PluginError, match="pip install -e"):
        plugins.load("strategy", "er")
