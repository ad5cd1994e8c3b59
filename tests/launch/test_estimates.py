import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sealing import edit

from clbench.launch.estimates import Cost, Experience, Kind, Load, load_of_run, makespan
from clbench.store.folder import Run, find_runs

KIND = Kind("made", "er", "linear", "prs", "small", "cpu")
TASKS = [{"train": 60, "test": 10}, {"train": 40, "test": 10}]


def load(processor: str = "one", tasks: Any = TASKS, kind: Kind = KIND, **train: Any) -> Load:
    options = {
        "train": {"epochs": 1, "lr": 0.1, "loss": "bce", "batch_size": 2, **train},
        "model": {"backbone": "small"},
    }
    return Load.of(kind, processor, options, tasks)


def known(*costs: Cost) -> Experience:
    found = Experience()
    for cost in costs:
        found.add(cost)
    return found


def seconds(experience: Experience, of: Load) -> float:
    estimate = experience.of(of)
    assert estimate is not None
    return estimate.seconds


def test_images_are_those_of_all_epochs_and_of_all_evaluations() -> None:
    of = load(epochs=3)
    assert (of.learned, of.scored) == (3 * 100, 2 * 20)
    assert Load.from_json(json.loads(json.dumps(of.as_json()))) == of


def test_time_is_in_proportion_to_images() -> None:
    experience = known(Cost(load(), 10.0, 4.0, 1.0, 7))
    assert seconds(experience, load()) == 15.0
    assert seconds(experience, load(epochs=2)) == 1.0 + 20.0 + 4.0
    assert seconds(experience, load(tasks=[{"train": 50, "test": 5}] * 2)) == 1.0 + 10.0 + 2.0


def test_the_nearest_count_and_their_mean_is_taken() -> None:
    experience = known(
        Cost(load(), 10.0, 0.0, 0.0, 7),
        Cost(load(), 20.0, 0.0, 0.0, 9),
        Cost(load(lr=0.2, loss="asl"), 500.0, 0.0, 0.0, 7),
        Cost(load("another"), 900.0, 0.0, 0.0, 7),
    )
    found = experience.of(load())
    assert found and (found.seconds, found.memory_bytes, found.source) == (15.0, 9, "2 runs")
    near = experience.of(load(lr=0.3))
    assert near and (near.seconds, near.source) == (15.0, "2 runs, other options")
    assert seconds(experience, load(lr=0.2, loss="asl")) == 500.0
    elsewhere = known(Cost(load("another"), 900.0, 0.0, 0.0, 7)).of(load())
    assert elsewhere and elsewhere.source == "1 run, elsewhere"


@pytest.mark.parametrize("field", Kind._fields)
def test_another_kind_tells_nothing(field: str) -> None:
    experience = known(Cost(load(), 10.0, 0.0, 0.0, 7))
    assert experience.of(load(kind=KIND._replace(**{field: "another"}))) is None


def test_a_run_that_goes_on_tells_while_none_of_its_kind_is_done() -> None:
    experience = known()
    experience.add_going(load(), 2.0)
    assert seconds(experience, load(epochs=2)) == 4.0
    experience.add(Cost(load(), 10.0, 0.0, 0.0, 7))
    assert seconds(experience, load(epochs=2)) == 20.0


def test_what_is_learned_later_counts() -> None:
    experience = known(Cost(load(), 10.0, 0.0, 0.0, 7))
    assert seconds(experience, load()) == 10.0
    experience.add(Cost(load(), 30.0, 0.0, 0.0, 7))
    assert seconds(experience, load()) == 20.0


def test_a_store_tells_of_its_runs_and_a_damaged_one_tells_nothing(real_store: Path) -> None:
    runs = [run for run in find_runs(real_store) if run.strategy == "er" and run.scenario == "debug"]
    of = load_of_run(runs[0])
    edit(runs[1].folder, "metrics.json", lambda metrics: metrics["cost"].update(feature_seconds=50.0))
    runs = [Run(run.folder) for run in runs]
    cost = [run.metrics["cost"] for run in runs]
    took = [sum(c["train_seconds"]) + sum(c["eval_seconds"]) + c["feature_seconds"] for c in cost]
    experience = Experience()
    experience.learn(real_store, {of.kind})
    assert len(runs) == 2 and seconds(experience, of) == pytest.approx(sum(took) / 2)
    assert (of.kind.memory, of.kind.device, of.learned) == ("reservoir", "cpu", 21)
    (runs[0].folder / "metrics.json").write_text("{")
    experience = Experience()
    experience.learn(real_store, {of.kind})
    assert seconds(experience, of) == pytest.approx(took[1])
    edit(runs[1].folder, "metrics.json", lambda metrics: metrics["cost"].pop("peak_memory_bytes"))  # as older ones
    experience = Experience()
    experience.learn(real_store, {of.kind})
    assert experience.of(of) is None
    shutil.rmtree(real_store)
    experience.learn(real_store, {of.kind})
    assert experience.of(replace(of, kind=KIND)) is None


def test_workers_take_the_next_run_as_they_become_free() -> None:
    assert makespan([], 3) == 0.0
    assert makespan([1.0, 2.0, 3.0], 1) == 6.0
    assert makespan([3.0, 1.0, 1.0, 1.0], 2) == 3.0
    assert makespan([1.0, 1.0, 1.0, 3.0], 2) == 4.0  # the longest last
    assert makespan([5.0, 1.0], 8) == 5.0
