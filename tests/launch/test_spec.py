import json
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from clbench.errors import StoreError, UsageError
from clbench.launch.run import run
from clbench.launch.spec import Spec
from clbench.running.build import Prepared, build_scenario
from clbench.running.config import DEFAULT
from clbench.running.recipe import recipe_file, write
from clbench.store.folder import Run

SETTINGS = {"lr": "0.5", "memory.size": 7, "grad_clip": 0.25, "drop_last": False}
FULL = Spec("debug", "er", "prs", "dlfl", "first:2", SETTINGS, 3, Path("data"), Path("somewhere/runs"), "0123456789ab")


@pytest.mark.parametrize("spec", [Spec("debug", "er"), FULL, replace(FULL, memory=None, data_root=None)])
def test_a_spec_is_plain_json_and_comes_back(spec: Spec) -> None:
    text = json.dumps(spec.as_json())
    back = Spec.from_json(json.loads(text))
    assert back == spec and hash(back) == hash(spec) and pickle.loads(pickle.dumps(spec)) == spec
    assert (back.out, type(back.out)) == (spec.out, type(spec.out))


def test_what_is_left_out_is_as_in_a_new_spec() -> None:
    assert Spec.from_json({"scenario": "debug", "strategy": "er"}) == Spec("debug", "er")
    assert (Spec("debug", "er").memory, Spec("debug", "er").head) == (DEFAULT, DEFAULT)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            {"scenario": "debug", "strateg": "er"},
            "Unknown key of a run's specification: 'strateg'; did you mean 'strategy'?",
        ),
        ({"scenario": "debug"}, "Expected a run's specification to name its strategy but got {'scenario': 'debug'}."),
    ],
)
def test_a_value_that_is_no_spec(value: dict[str, str], sentence: str) -> None:
    with pytest.raises(UsageError) as error:
        Spec.from_json(value)
    assert sentence in str(error.value)


def test_a_configuration_has_the_head_and_the_settings() -> None:
    config = FULL.config()
    assert config.head == "dlfl" and config.options["train"].lr == 0.5
    assert (config.memory, config.options["memory"].size, config.view) == ("prs", "7", "first:2")
    assert Spec("debug", "dlfl").config().head == "dlfl"  # the strategy's own


@pytest.mark.parametrize(
    "given",
    [
        Spec("debug", "er", "prs", "dlfl", settings={"lr": "0.25", "size": 4}),
        Spec("debug", "finetune", view="first:2+limited:3", seed=5),
        Spec("debug-incremental", "lwf", None),
    ],
)
def test_a_spec_comes_back_from_a_run_folder(given: Spec, tmp_path: Path) -> None:
    [done] = run(
        given.scenario,
        given.strategy,
        seeds=[given.seed],
        memory=given.memory,
        head=given.head,
        view=given.view,
        settings=given.settings,
        out=tmp_path,
    )
    spec = Spec.of_run(Run(done.folder))
    assert (spec.scenario, spec.strategy, spec.view) == (given.scenario, given.strategy, given.view)
    assert (spec.seed, spec.out, spec.config_hash) == (given.seed, tmp_path, done.config_hash)
    config = Spec.from_json(json.loads(json.dumps(spec.as_json()))).config()
    assert config == given.config()
    assert Prepared(config, build_scenario(config)).folder(spec.out, spec.seed) == done.folder


def test_a_run_of_a_file_goes_on_with_the_file_or_with_its_copy(tmp_path: Path) -> None:
    file = tmp_path / "of_a_file.py"
    file.write_text("from clbench import Strategy\n\n\nclass Mine(Strategy):\n    pass\n")
    [done] = run("debug", str(file), out=tmp_path / "runs")
    spec = Spec.of_run(done)
    assert spec.strategy == str(file) and spec.config_hash == done.config_hash
    copied = Spec.of_run(done, copies=True)
    assert Path(copied.strategy) == done.folder / "plugin/strategy/of_a_file.py" and copied.scenario == "debug"
    assert Path(copied.strategy).read_bytes() == file.read_bytes()
    for change in (lambda: file.write_text("# another\n"), file.unlink):
        change()
        with pytest.raises(
            StoreError, match=f"Expected {file} to be as it was when .* changed or is gone; bring it back"
        ):
            Spec.of_run(done)
    assert Spec.of_run(done, copies=True) == copied


@pytest.mark.parametrize("harm", [{"options": {}}, {"options": {"model": []}}, {}, {"options": None}])
def test_a_folder_without_a_configuration(harm: dict[str, object], tmp_path: Path) -> None:
    folder = tmp_path / "debug" / "er" / "0123456789ab" / "seed0"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"scenario": "debug", "strategy": "er", **harm}))
    with pytest.raises(StoreError, match="config.json to be the configuration of a run"):
        Spec.of_run(Run(folder))


def test_specs_need_no_torch() -> None:
    code = "import sys, clbench.launch.spec; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_run_with_a_recipe_goes_on_with_its_own_copy_of_it(tmp_path: Path) -> None:
    file = recipe_file(tmp_path, "debug", "er", "linear", "reservoir")
    search = {"trials": 2, "seconds": 1.0, "view": "validation:0.3"}
    made = {"schema": 1, "scenario": "debug", "strategy": "er", "head": "linear", "memory": "reservoir"}
    write(file, {**made, "settings": {"train.lr": 0.25}, "search": search})
    content = file.read_bytes()
    [done] = run("debug", "er", recipe=tmp_path, out=tmp_path / "runs")
    file.unlink()
    assert (done.folder / "recipe.toml").read_bytes() == content
    spec = Spec.from_json(json.loads(json.dumps(Spec.of_run(done).as_json())))
    assert spec.recipe == done.folder / "recipe.toml"
    assert spec.config().resolved()["recipe"] == done.config["recipe"]
    assert done.config["recipe"]["options"] == ["train.lr"]
    [plain] = run("debug", "er", settings={"lr": 0.25}, out=tmp_path / "runs", rerun=True)
    assert plain.folder == done.folder and not (plain.folder / "recipe.toml").exists()
