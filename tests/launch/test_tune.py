import math
import os
import re
import sys
import tomllib
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
from installed import all_of

from clbench import __version__
from clbench.arrays import IntArray
from clbench.data.images import ArrayImages
from clbench.errors import ClbenchError, UsageError
from clbench.launch import tune as tuning
from clbench.launch.cells import LaunchListener
from clbench.launch.spec import Spec
from clbench.launch.tune import Launching, Search, Trial, best, check_recipe, settled, tune, write_recipe
from clbench.learning.batch import Batch, Values
from clbench.learning.listener import Listener
from clbench.report.columns import main_columns
from clbench.report.rows import collect
from clbench.running.build import build_scenario
from clbench.running.config import resolve
from clbench.running.execute import How
from clbench.running.recipe import read
from clbench.running.stops import Requests, Stopped
from clbench.store.folder import Run, RunWriter, find_runs
from clbench.store.lock import Busy, held
from strategies.finetune import Finetune

VIEW = "validation:0.3"


def search(out: Path, strategy: str = "er", trials: int = 3, **changes: Any) -> Search:
    spec = Spec("debug", strategy, view=VIEW, out=out)
    return Search(replace(spec, **{k: v for k, v in changes.items() if hasattr(spec, k)}), trials)


def launching(**options: Any) -> Launching:
    return Launching(How("cpu"), **options)


def without_seconds(file: Path) -> str:
    return re.sub(r"^seconds = .*$", "", file.read_text(), flags=re.MULTILINE)


def trial(number: int, score: float, state: str = "done") -> Trial:
    return Trial(number, {"train.lr": 0.1 * number}, state, score, 1.0, (f"debug/er/{number}a/seed1000",))


class Counting(LaunchListener):
    """How many runs were begun."""

    def __init__(self) -> None:
        self.started_runs = 0

    def started(self, cell: object) -> None:
        self.started_runs += 1


def test_the_highest_score_wins_the_earlier_of_equals_and_nan_never() -> None:
    assert best([trial(0, 0.2), trial(1, 0.5), trial(2, 0.5), trial(3, 0.4)]).number == 1
    assert best([trial(0, math.nan, "diverged"), trial(1, 0.1), trial(2, math.nan, "failed")]).number == 1
    with pytest.raises(ClbenchError) as error:
        best([trial(0, math.nan, "diverged"), trial(1, math.nan, "diverged")])
    assert str(error.value) == (
        "Expected one of 2 trials to come to its end but all have diverged; see `clbench list runs` on their folder: "
        "debug/er/0a/seed1000 is the first."
    )


def test_the_metric_is_the_first_of_every_report_and_seconds_are_all_that_a_run_took(tmp_path: Path) -> None:
    [found] = tune(search(tmp_path, trials=1), launching())
    [run] = find_runs(tmp_path)
    [row] = collect([run])
    assert main_columns(row)[0] == tuning.METRIC
    cost = run.metrics["cost"]
    took = cost["feature_seconds"] + sum(cost["train_seconds"]) + sum(cost["eval_seconds"])
    settings, name = {"train.lr": 1e-3}, run.folder.relative_to(tmp_path).as_posix()
    assert found == Trial(0, settings, "done", run.metrics["final"]["mAP"], found.seconds, (name,))
    assert found.seconds == pytest.approx(took)


class Failing(Listener):
    """Fails at the first step."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def stepped(self, *_: object) -> None:
        raise self.error


def failing(error: Exception) -> Launching:
    return launching(listeners=lambda cell: nullcontext([Failing(error)]))


def test_a_trial_without_a_score_took_the_time_between_its_files(tmp_path: Path) -> None:
    made = replace(search(tmp_path, trials=1), seeds=(1000, 1001))
    [found] = tune(made, failing(RuntimeError("out of paper")))
    runs = [Run(tmp_path / name) for name in found.runs]
    assert found.state == "failed" and math.isnan(found.score) and [run.seed for run in runs] == [1000, 1001]
    for run, ended in zip(runs, (40, 2), strict=True):
        os.utime(run.folder / "config.json", (10, 10))
        os.utime(run.folder / "status.json", (ended, ended))  # of the second one somebody has set the clock
    assert tune(made, launching()) == [replace(found, seconds=30.0, score=ANY)]


def test_a_run_that_is_not_to_be_had_ends_the_search(tmp_path: Path) -> None:
    made = search(tmp_path, trials=1)
    with pytest.raises(ClbenchError, match="disk full: .* the same command goes on with the search.$"):
        tune(made, failing(OSError(28, "No space left on device")))
    [run] = find_runs(tmp_path)
    with held(run.folder), pytest.raises(Busy):
        tune(made, launching())
    with pytest.raises(Stopped, match="stopped by --max-time"):
        tune(made, launching(requests=Requests(0.0)))


@pytest.mark.parametrize(
    ("state", "details", "expected"),
    [
        ("done", {}, True),
        ("diverged", {}, True),
        ("failed", {}, True),
        ("failed", {"may_pass": True}, False),
        ("interrupted", {}, False),
    ],
)
def test_what_would_end_again_as_it_has_is_settled(
    tmp_path: Path, state: str, details: dict[str, Any], expected: bool
) -> None:
    writer = RunWriter(tmp_path / "seed0")
    writer.status("running")
    assert not settled(tmp_path / "seed0")
    writer.close(state, "as it is", **details)
    assert settled(tmp_path / "seed0") is expected


def test_a_recipe_says_how_it_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/clbench", "tune", "--trials", "2"])
    made = replace(search(tmp_path, "ewc", 2, settings={"epochs": "2"}), seed=4, seeds=(7, 8))
    trials = [replace(trial(0, 0.25), seconds=1.26), replace(trial(1, 0.5), seconds=2.5)]
    file = made.file(tmp_path)
    assert file == tmp_path / "debug" / "ewc-linear-none.toml" and write_recipe(file, made, trials) == trials[1]
    assert tomllib.loads(file.read_text()) == {
        "schema": 1,
        "scenario": "debug",
        "strategy": "ewc",
        "head": "linear",
        "memory": "none",
        "settings": {"train.epochs": 2, "train.lr": 0.1},
        "search": {
            "sampler": "random",
            "seed": 4,
            "seeds": [7, 8],
            "view": VIEW,
            "metric": "mAP",
            "ranges": {"strategy.strength": [1.0, 1e5, "log"], "train.lr": [1e-5, 1e-2, "log"]},
            "fixed": {"train.epochs": 2},
            "trials": 2,
            "best": 1,
            "score": 0.5,
            "seconds": 3.8,
            "version": __version__,
            "command": ["clbench", "tune", "--trials", "2"],
        },
        "trials": [
            {
                "number": 0,
                "state": "done",
                "score": 0.25,
                "seconds": 1.3,
                "runs": ["debug/er/0a/seed1000"],
                "settings": {"train.lr": 0.0},
            },
            {
                "number": 1,
                "state": "done",
                "score": 0.5,
                "seconds": 2.5,
                "runs": ["debug/er/1a/seed1000"],
                "settings": {"train.lr": 0.1},
            },
        ],
    }


def test_what_is_searched_and_what_the_user_has_fixed(tmp_path: Path) -> None:
    assert list(search(tmp_path, "ewc").space.ranges) == ["strategy.strength", "train.lr"]
    assert search(tmp_path, "ewc").space.defaults == {"strategy.strength": 100.0, "train.lr": 1e-3}
    fixed = search(tmp_path, "ewc", settings={"lr": "1e-3"})  # at its default, but fixed
    assert list(fixed.space.ranges) == ["strategy.strength"]
    assert list(search(tmp_path, "er", memory="prs").space.ranges) == ["memory.rho", "train.lr"]
    with pytest.raises(UsageError) as error:
        search(tmp_path, "er", settings={"lr": 0.1})
    assert str(error.value) == (
        "Expected options of er to search but it has none with a range besides those that --set fixes; leave one of "
        "them out."
    )


@pytest.mark.parametrize("strategy", all_of("strategy"))
def test_every_default_is_among_what_is_searched_on_every_scenario(strategy: str) -> None:
    for scenario in ("digits-seq", "digits-b0-c4", "coco-seq", "voc-b4-c2", "debug"):
        settings = {"splits": "somewhere"} if scenario == "coco-seq" else {}
        config = resolve(scenario, strategy, settings=settings)
        for options in config.options.values():
            for each in fields(options):
                tried, value = each.metadata.get("search"), getattr(options, each.name)
                assert not tried or tried[0] <= value <= tried[1], (scenario, each.name, value)


@pytest.mark.parametrize("view", ["all", "limited:3", "first:2"])
def test_no_view_with_test_images(tmp_path: Path, view: str) -> None:
    with pytest.raises(UsageError, match=f"but got {view}: options are not chosen on test images"):
        search(tmp_path, view=view)
    assert search(tmp_path, view=f"first:2+{VIEW}").config.view == f"first:2+{VIEW}"


@pytest.mark.slow
def test_a_search_reads_and_scores_no_test_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = set(build_scenario(resolve("debug", "er")).test_indices().tolist())
    reading, seen = ArrayImages.read, set[int]()

    def read_images(self: ArrayImages, indices: IntArray) -> Any:
        seen.update(indices.tolist())
        return reading(self, indices)

    monkeypatch.setattr(ArrayImages, "read", read_images)
    made = search(tmp_path, trials=2)
    trials = tune(made, launching())
    held = build_scenario(made.config).test_indices()
    assert seen and not seen & tests and not set(held.tolist()) & tests
    for name in trials[0].runs + trials[1].runs:
        run = Run(tmp_path / name)
        assert run.config["view"] == VIEW and len(np.load(run.folder / "logits" / "labels.npy")) == len(held)


@pytest.mark.slow
def test_a_trial_is_the_mean_of_ordinary_runs_on_its_seeds(tmp_path: Path) -> None:
    made = replace(search(tmp_path, trials=2), seeds=(1000, 1001))
    trials = tune(made, launching())
    assert sorted({run.seed for run in find_runs(tmp_path)}) == [1000, 1001]
    for each in trials:
        runs = [Run(tmp_path / name) for name in each.runs]
        assert each.score == pytest.approx(np.mean([run.metrics["final"]["mAP"] for run in runs]), abs=1e-12)
        assert {run.config["options"]["train"]["lr"] for run in runs} == {each.settings["train.lr"]}
        assert each.seconds > 0 and each.state == "done"
    assert trials[0].settings == {"train.lr": 1e-3}


@pytest.mark.slow
def test_the_same_search_again_runs_nothing_and_gives_the_same_recipe(tmp_path: Path) -> None:
    made, files = search(tmp_path / "tune", "ewc", 4), [tmp_path / "a.toml", tmp_path / "b.toml"]
    heard = [Counting(), Counting()]
    for file, listener in zip(files, heard, strict=True):
        write_recipe(file, made, tune(made, launching(listener=listener)))
    assert [listener.started_runs for listener in heard] == [4, 0]
    assert without_seconds(files[0]) == without_seconds(files[1])
    more = Counting()
    tune(replace(made, trials=6), launching(listener=more))
    assert more.started_runs == 2


@pytest.mark.slow
def test_a_search_that_was_stopped_goes_on_to_the_same_recipe(tmp_path: Path, stop_after: Any) -> None:
    whole, cut = (search(tmp_path / name, "ewc", 4) for name in ("whole", "cut"))
    write_recipe(tmp_path / "whole.toml", whole, tune(whole, launching()))
    with pytest.raises(Stopped):
        tune(cut, launching(requests=stop_after(8)))
    assert 0 < len(list(find_runs(tmp_path / "cut"))) < 4
    write_recipe(tmp_path / "cut.toml", cut, tune(cut, launching()))
    assert without_seconds(tmp_path / "whole.toml") == without_seconds(tmp_path / "cut.toml")


@pytest.mark.slow
def test_a_trial_that_fails_is_worst_recorded_and_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Finetune.observe

    def observe(self: Finetune, batch: Batch) -> Values:
        if self.train_options.lr == 1e-3:
            raise RuntimeError("out of paper")
        return step(self, batch)

    monkeypatch.setattr(Finetune, "observe", observe)
    made = search(tmp_path / "tune", "finetune")
    trials = tune(made, launching())
    assert (trials[0].state, trials[1].state) == ("failed", "done") and math.isnan(trials[0].score)
    assert write_recipe(tmp_path / "a.toml", made, trials).number > 0
    assert 'state = "failed"\nscore = nan' in (tmp_path / "a.toml").read_text()
    listener = Counting()
    assert [each.state for each in tune(made, launching(listener=listener))] == ["failed", "done", "done"]
    assert listener.started_runs == 0


@pytest.mark.slow
def test_a_failure_that_may_pass_ends_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Finetune, batch: object) -> Values:
        raise OSError(28, "No space left on device")

    made = search(tmp_path, "finetune")
    with monkeypatch.context() as patch:
        patch.setattr(Finetune, "observe", full)
        with pytest.raises(ClbenchError, match="disk full: .* the same command goes on with the search"):
            tune(made, launching())
    runs = list(find_runs(tmp_path))
    assert [run.state for run in runs] == ["failed"] * 3 and not any(settled(run.folder) for run in runs)
    assert [trial.state for trial in tune(made, launching())] == ["done"] * 3


@pytest.mark.slow
def test_a_recipe_gives_the_best_trials_configuration(tmp_path: Path) -> None:
    made = search(tmp_path / "tune", "ewc", 4, settings={"epochs": "2", "variant": "online"})
    chosen = write_recipe(tmp_path / "a.toml", made, tune(made, launching()))
    run = Run(tmp_path / "tune" / chosen.runs[0])
    config = resolve("debug", "ewc", recipe=tmp_path / "a.toml")
    assert config.resolved()["options"] == run.config["options"]
    assert read(tmp_path / "a.toml").settings == {
        "strategy.variant": "online",
        "train.epochs": 2,
        **chosen.settings,
    }


def test_what_is_fixed_of_the_scenario_is_no_setting(tmp_path: Path) -> None:
    spec = Spec("debug-incremental", "er", view=VIEW, settings={"missing": "masked"}, out=tmp_path)
    made = Search(spec, 2)
    found = tuning.document(made, [trial(0, 0.5)], trial(0, 0.5))
    assert found["search"]["fixed"] == {"scenario.missing": "masked"} and list(found["settings"]) == ["train.lr"]


def test_only_a_recipe_of_the_same_search_is_replaced(tmp_path: Path) -> None:
    made, file = search(tmp_path / "tune", trials=2), tmp_path / "a.toml"
    check_recipe(file, made, False)  # there is none
    write_recipe(file, made, [trial(0, 0.25), trial(1, 0.5)])
    check_recipe(file, made, False)
    check_recipe(file, replace(made, trials=5), False)
    others = (
        replace(made, seed=1),
        replace(made, seeds=(7,)),
        replace(made, sampler="optuna"),
        search(tmp_path, "er", 2, settings={"epochs": 2}),
        search(tmp_path, "finetune", 2),
        search(tmp_path, "er", 2, view="validation:0.4"),
    )
    for other in others:
        with pytest.raises(UsageError, match="Expected no recipe in .* one of another search; --force replaces it"):
            check_recipe(file, other, False)
        check_recipe(file, other, True)
    with pytest.raises(UsageError, match="there is one of 2 trials of this search"):
        check_recipe(file, replace(made, trials=1), False)
    file.write_text("search = 3")
    with pytest.raises(UsageError, match="Expected a recipe that `clbench tune` made"):
        check_recipe(file, made, False)


@pytest.mark.slow
def test_searches_of_one_launching_build_their_scenario_once(tmp_path: Path) -> None:
    built: list[str] = []

    class Heard(LaunchListener):
        def building(self, scenario: str) -> None:
            built.append(scenario)

    how = launching(listener=Heard())
    for strategy in ("er", "finetune"):
        tune(search(tmp_path, strategy, 2), how)
    assert built == ["debug"]


def test_a_search_with_optuna(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    made = replace(search(tmp_path / "tune", "ewc", 5), sampler="optuna")
    heard = [Counting(), Counting()]
    one, again = (tune(made, launching(listener=listener)) for listener in heard)
    assert one == again and [listener.started_runs for listener in heard] == [5, 0]
