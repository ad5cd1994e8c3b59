import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clbench import plugins
from clbench.errors import PluginError, UsageError
from clbench.files import sha256
from clbench.scenario.builder import load_builder

Distribution = Callable[..., None]
CommandLine = Callable[..., tuple[int, str, str]]

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

    def make(
        package: str, files: dict[str, str], init: str = "", group: str = "clbench.strategies", target: str = ""
    ) -> None:
        site = tmp_path / f"site_{package}"
        (site / package).mkdir(parents=True)
        for name, text in {"__init__.py": init, **files}.items():
            (site / package / name).write_text(text)
        info = site / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\nmine = {target or package}\n")
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


NEEDY = FINE.replace(
    "class", "NEEDS = {'no_such_thing': 'clbench[extra]', 'os': 'an-os', 'nor_this': 'other'}\n\nclass"
)


def test_what_needs_something_that_is_not_installed_is_listed_with_the_command_and_not_loaded(
    distribution: Distribution, clbench: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution("stranger", {"needy.py": NEEDY + "\nraise SystemExit('imported')"})
    command = "pip install 'clbench[extra]' other"
    assert plugins.available("strategy")["needy"].missing == command and plugins.find("strategy", "er").missing == ""
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = clbench("list", "strategies")
    assert code == 0 and f"  Not installed: {command}\n" in out
    for verb in (("run", "--scenario", "debug", "--strategy"), ("show",), ("check",)):
        code, out, err = clbench(*verb, "needy")
        assert code == 4 and not out and err.count("\n") < 4
        words = f"Expected no_such_thing and nor_this for the strategy 'needy' but found none; run `{command}`."
        assert words in " ".join(err.split())


def test_a_file_that_needs_something_says_so_too(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(NEEDY)
    try:
        with pytest.raises(PluginError, match="run `pip install 'clbench.extra.' other`"):
            plugins.load("strategy", str(tmp_path / "mine.py"))
    finally:
        plugins.read_anew()


def test_a_file_whose_literals_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FINE + "\nNEEDS = dict()\n")
    with pytest.raises(PluginError, match="cannot be used: expected NEEDS to be a literal"):
        plugins.load("strategy", str(tmp_path / "mine.py"))


@pytest.mark.parametrize("needs", ["{'a': 1}", "['a']", "{'a': ''}", "dict(a='b')"])
def test_needs_that_cannot_be_read_are_left_out_with_a_warning(distribution: Distribution, needs: str) -> None:
    distribution("stranger", {"odd.py": f"{FINE}\nNEEDS = {needs}\n"})
    with pytest.warns(UserWarning, match="stranger.odd was left out: expected NEEDS to be a"):
        assert "odd" not in plugins.available("strategy")


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


def test_two_plugins_of_one_name_cost_that_name_alone(distribution: Distribution) -> None:
    distribution("stranger", {"er.py": FINE})
    with pytest.warns(UserWarning, match=r"named 'er': strategies\.er and stranger\.er") as warned:
        assert "er" in plugins.available("strategy") and plugins.load("strategy", "lwf").__name__ == "LwF"
    assert {str(each.message) for each in warned} == {str(warned[0].message)}
    with (
        pytest.warns(UserWarning),
        pytest.raises(PluginError, match=r"named 'er' but got 2: strategies\.er and stranger"),
    ):
        plugins.load("strategy", "er")


def test_a_warning_is_given_once_in_a_process(distribution: Distribution) -> None:
    distribution("stranger", {"er.py": FINE})
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        for _ in range(3):
            plugins.available("strategy")
            plugins.find("strategy", "er")
    assert len(warned) == 1


def test_a_broken_package_costs_its_plugins_alone(distribution: Distribution) -> None:
    distribution("stranger", {"mine.py": FINE}, init="raise ImportError('no such thing')")
    assert {"er", "mine"} <= set(plugins.available("strategy"))
    with pytest.raises(PluginError, match="'mine' could not be imported from stranger.mine .*no such thing"):
        plugins.load("strategy", "mine")


def test_a_broken_module_is_listed_but_raises_when_asked_for(distribution: Distribution) -> None:
    distribution("stranger", {"odd.py": FINE + "import no_such_module"})
    assert "odd" in plugins.available("strategy")
    with pytest.raises(
        PluginError, match="'odd' could not be imported from stranger.odd .*No module named 'no_such_module'"
    ):
        plugins.load("strategy", "odd")


@pytest.mark.parametrize(
    "at_import", ["import sys; sys.exit()", "import time; time.sleep(1000)", "print('{')", "raise SystemError"]
)
def test_listing_imports_nothing(distribution: Distribution, clbench: CommandLine, at_import: str) -> None:
    """Neither the package nor a module of it, so that none can end, hold up or garble it."""
    distribution("stranger", {"mine.py": f"{at_import}\n{FINE}"}, init=at_import)
    code, out, _ = clbench("list", "strategies", "--json")
    names = [entry["name"] for entry in json.loads(out)["strategies"]]
    assert code == 0 and "mine" in names and "er" in names and "stranger" not in sys.modules


def test_a_module_that_ends_the_process_when_imported_is_refused(
    distribution: Distribution, clbench: CommandLine
) -> None:
    distribution("stranger", {"mine.py": f"{FINE}\nimport sys; sys.exit(0)"})
    code, _, err = clbench("run", "--scenario", "debug", "--strategy", "mine")
    assert code == 4 and "'mine' could not be imported from stranger.mine" in err and "SystemExit: 0" in err


def test_what_a_module_prints_when_imported_is_not_among_the_output(
    distribution: Distribution, clbench: CommandLine
) -> None:
    distribution("stranger", {"mine.py": f"{FINE}\nprint('hello')"})
    code, out, err = clbench("show", "mine", "--json")
    assert code == 0 and json.loads(out)["name"] == "mine" and "hello" in err


def test_an_entry_point_that_is_no_package_is_left_out(distribution: Distribution) -> None:
    distribution("stranger", {"mine.py": FINE}, target="stranger.mine")
    with pytest.warns(
        UserWarning, match="stranger.mine was left out: expected a package of plugins but it is a module"
    ):
        assert "er" in plugins.available("strategy")


def test_an_entry_point_that_is_nowhere_is_left_out(distribution: Distribution) -> None:
    distribution("stranger", {}, target="nowhere.at_all")
    with pytest.warns(UserWarning, match="nowhere.at_all was left out: .* but it is not there"):
        assert "er" in plugins.available("strategy")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("NAMES = {f'tiny-{n}': 'Tiny.' for n in range(3)}", "NAMES and PATTERN to be literals"),
        ("NAMES = ['tiny-1']", "NAMES to be a dict"),
        ("NAMES = {'tiny-1': 1}", "NAMES to be a dict"),
        ("PATTERN = '('", "PATTERN to be a regular expression but got '[(]'"),
        ("PATTERN = 3", "PATTERN to be a regular expression but got 3"),
    ],
)
def test_a_family_that_cannot_be_read_costs_itself_alone(distribution: Distribution, line: str, said: str) -> None:
    distribution("stranger", {"many.py": f"{FAMILY}\n{line}"}, group="clbench.scenarios")
    with pytest.warns(UserWarning, match=f"stranger.many was left out: expected {said}"):
        assert "digits-seq" in plugins.available("scenario")
    with pytest.warns(UserWarning), pytest.raises(UsageError, match="Unknown scenario 'tiny-1'"):
        plugins.load("scenario", "tiny-1")


def test_names_may_be_annotated(distribution: Distribution) -> None:
    distribution(
        "stranger", {"many.py": FAMILY.replace("NAMES =", "NAMES: dict[str, str] =")}, group="clbench.scenarios"
    )
    assert "tiny-3" in plugins.available("scenario")


def test_a_helper_is_not_listed_and_its_name_is_no_rival(distribution: Distribution) -> None:
    helper = "class Error(Exception):\n    pass\n\nclass Table(dict):\n    pass\n"
    distribution("stranger", {"mine.py": FINE, "helpers.py": helper, "er.py": helper})
    listed = plugins.available("strategy")
    assert "mine" in listed and "helpers" not in listed
    assert plugins.load("strategy", "er").__module__ == "strategies.er"
    with pytest.raises(PluginError, match="one subclass of Strategy in stranger.helpers but got none"):
        plugins.load("strategy", "helpers")


def test_a_file_with_a_syntax_error_is_listed_with_that_word(distribution: Distribution) -> None:
    distribution("stranger", {"torn.py": "class Mine(\n"})
    assert plugins.available("strategy")["torn"].summary().startswith("syntax error in line 1")
    with pytest.raises(PluginError, match="'torn' could not be imported from stranger.torn"):
        plugins.load("strategy", "torn")


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
    monkeypatch.setattr(plugins, "_declared", lambda *_: ())
    with pytest.raises(PluginError, match="pip install -e"):
        plugins.load("strategy", "er")


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A strategy's file in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(FINE)
    plugins.read_anew()
    yield tmp_path / "mine.py"
    plugins.read_anew()


def test_a_file_is_named_by_its_path(mine: Path) -> None:
    found = plugins.find("strategy", "./mine.py")
    assert (found.name, found.file, found.content) == ("mine", mine, FINE.encode())
    assert found.sha256 == sha256(mine) and found.summary() == "A strategy of a stranger's."
    loaded = plugins.load("strategy", "mine.py")
    assert loaded.__name__ == "Mine" and plugins.load("strategy", "mine") is loaded
    assert "mine" not in plugins.available("strategy")


def test_a_name_is_no_path(mine: Path) -> None:
    with pytest.raises(UsageError, match="Unknown strategy 'mine'"):
        plugins.find("strategy", "mine")


def test_a_file_is_read_once_and_again_when_asked_to(mine: Path) -> None:
    first = plugins.load("strategy", "./mine.py")
    mine.write_text(FINE.replace("class Mine", "class Other"))
    assert plugins.load("strategy", "./mine.py") is first
    plugins.read_anew()
    assert plugins.load("strategy", "./mine.py").__name__ == "Other"
    mine.write_text(FINE)
    plugins.read_anew()
    assert plugins.load("strategy", "./mine.py") is first, "the same bytes are the same class"


def test_what_cannot_be_named_by_a_path(mine: Path) -> None:
    (mine.parent / "er.py").write_text(FINE)
    (mine.parent / "deep").mkdir()
    (mine.parent / "deep" / "mine.py").write_text(FINE)
    (mine.parent / "torn.py").write_text("x = (")
    (mine.parent / "many.py").write_text(FAMILY)
    (mine.parent / "beside.py").write_text(FINE + "\nimport mine")
    (mine.parent / "a b.py").write_text(FINE)
    plugins.find("strategy", "./mine.py")
    for kind, typed, error, said in (
        ("strategy", "./gone.py", UsageError, "a strategy in ./gone.py but got: No such file"),
        ("strategy", "./er.py", UsageError, "a new name but 'er' is the strategy in strategies.er; rename ./er.py"),
        ("strategy", "deep/mine.py", UsageError, "one strategy named 'mine' but got .*; rename one"),
        ("strategy", "torn.py", PluginError, "a strategy in torn.py but got a syntax error in line 1"),
        ("memory", "mine.py", PluginError, "a memory in mine.py, a class that derives from Memory, but found none"),
        ("scenario", "many.py", PluginError, "one scenario in many.py but it stands for a family of NAMES"),
        ("strategy", "a b.py", UsageError, "a file named like mine.py"),
    ):
        with pytest.raises(error, match=said):
            plugins.find(kind, typed)  # type: ignore[arg-type]
    with pytest.raises(PluginError, match="'beside' could not be imported from .*beside.py: .* the files beside it"):
        plugins.load("strategy", "beside.py")
