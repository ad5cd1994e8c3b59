"""A run on a validation view: no test image is read, no held-out image learned from, and its record is whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from clbench import metrics
from clbench.arrays import IntArray
from clbench.learning.batch import Replay, Values
from clbench.learning.listener import Listener
from clbench.learning.trainer import train
from clbench.running.attention import choose
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve
from clbench.running.execute import How, execute
from clbench.scenario.samples import Samples
from clbench.scenario.tasks import Scenario
from clbench.store.folder import Run

CPU = torch.device("cpu")
VIEW = "validation:0.3"
IMAGES = ("overlapping", "disjoint", "exclusive")


@dataclass
class Guarded:
    """An image source that says what is read, and raises where an image must not be."""

    scenario: Scenario
    forbidden: frozenset[int]
    read_so_far: set[int] = field(default_factory=set)
    decodes: bool = False
    paths: Sequence[str] = ()

    @property
    def size(self) -> int:
        return self.scenario.images.size

    @property
    def fingerprint(self) -> str:
        return self.scenario.images.fingerprint

    def read(self, indices: IntArray) -> Tensor:
        assert not self.forbidden & set(indices.tolist()), "a test image was read"
        self.read_so_far |= set(indices.tolist())
        return self.scenario.images.read(indices)


def prepare(strategy: str, images: str, scenario: str = "debug-incremental", view: str = VIEW) -> Prepared:
    settings = {"images": images} if scenario == "debug-incremental" else {}
    config = resolve(scenario, strategy, view=view, settings=settings)
    return Prepared(config, build_scenario(config))


def guarded(prepared: Prepared, images: str, scenario: str = "debug-incremental") -> tuple[Prepared, Guarded]:
    tests = frozenset(prepare("er", images, scenario, "all").scenario.test_indices().tolist())
    guard = Guarded(prepared.scenario, tests)
    return Prepared(prepared.config, replace(prepared.scenario, images=guard)), guard


class Ear(Listener):
    """Which images were learned from as new ones."""

    def __init__(self) -> None:
        self.learned = set[int]()

    def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
        self.learned |= set(samples.indices.tolist())


@pytest.mark.parametrize("strategy", ["er", "joint"])
@pytest.mark.parametrize("images", IMAGES)
def test_a_run_reads_no_test_image(strategy: str, images: str, tmp_path: Path) -> None:
    prepared, guard = guarded(prepare(strategy, images), images)
    execute(prepared, 0, tmp_path, How("cpu"))
    train_images, held = (
        set(each.tolist()) for each in (prepared.scenario.train_indices(), prepared.scenario.test_indices())
    )
    assert held < guard.read_so_far <= train_images | held


def test_a_run_with_exclusive_tasks_reads_no_test_image_either(tmp_path: Path) -> None:
    prepared, guard = guarded(prepare("dlfl", "exclusive", "debug"), "exclusive", "debug")
    run = execute(prepared, 0, tmp_path, How("cpu"))
    assert guard.read_so_far and not (run.folder / "logits" / "scored.npy").exists()


@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("memory", ["reservoir", "prs"])
def test_no_held_out_image_is_learned_from_stored_or_replayed(images: str, memory: str) -> None:
    config = resolve("debug-incremental", "er", memory=memory, view=VIEW, settings={"images": images, "epochs": 2})
    prepared, _ = guarded(Prepared(config, build_scenario(config)), images)
    held = set(prepared.scenario.test_indices().tolist())
    assert held
    strategy = build_strategy(prepared, 0, CPU)
    ear, replayed, stored = Ear(), set[int](), set[int]()
    recall, memory_now = strategy.recall, strategy.memory
    assert memory_now is not None

    def watched(new: int) -> Replay | None:
        found = recall(new)
        replayed.update(found.samples.indices.tolist() if found else ())
        stored.update(memory_now.indices.tolist())
        return found

    strategy.recall = watched  # type: ignore[method-assign]
    train(strategy, prepared.scenario, config.options["train"], seed=0, listeners=[ear])
    stored.update(memory_now.indices.tolist())
    assert ear.learned and replayed and stored and not held & (ear.learned | replayed | stored)


def scores_of(run: Run, scenario: Scenario) -> metrics.Scores:
    """What stands in a run's folder alone, but for which rows are whose."""
    logits = run.folder / "logits"
    test = scenario.test_indices().tolist()
    return metrics.Scores(
        logits=[np.load(logits / f"task{t}.npy") for t in range(len(scenario))],
        labels=np.load(logits / "labels.npy"),
        task_rows=[np.array([test.index(i) for i in task.test.tolist()], np.int64) for task in scenario],
        task_classes=[task.classes for task in scenario],
        scored=np.load(logits / "scored.npy"),
    )


@pytest.mark.parametrize("images", ["overlapping", "disjoint"])
def test_the_metrics_can_be_made_again_from_the_folder(images: str, tmp_path: Path) -> None:
    prepared = prepare("er", images)
    scenario, test = prepared.scenario, prepared.scenario.test_indices()
    run = execute(prepared, 0, tmp_path, How("cpu"))
    scores = scores_of(run, scenario)
    assert scenario.scored is not None and scores.scored is not None
    assert np.array_equal(scores.scored, scenario.scored[test])
    found = metrics.evaluate(scores, {})
    assert {name: run.metrics[name] for name in ("final", "overall", "matrix", "ap", "positives")} == {
        name: found[name] for name in ("final", "overall", "matrix", "ap", "positives")
    }
    assert not (scores.labels & ~scores.scored).any()  # no hidden label is written down
    assert any("are held out and tested on" in note for note in run.env["manifest"]["notes"])
    assert "logits/scored.npy" in (run.folder / "SHA256SUMS").read_text()


@pytest.mark.slow
def test_hidden_labels_change_nothing_that_a_run_records(tmp_path: Path) -> None:
    plain = prepare("dlfl", "disjoint")
    scenario = plain.scenario
    assert scenario.scored is not None and scenario.replay is not None
    test, labels = scenario.test_indices(), scenario.labels.copy()
    labels[test] = np.where(scenario.scored[test], labels[test], 1 - labels[test])
    turned = replace(scenario, labels=labels, replay=replace(scenario.replay, truth=labels))
    assert not np.array_equal(labels, scenario.labels)
    runs = [
        execute(each, 0, tmp_path / n, How("cpu"))
        for n, each in zip("ab", (plain, Prepared(plain.config, turned)), strict=True)
    ]
    one, other = ({k: v for k, v in run.metrics.items() if k != "cost"} for run in runs)
    assert one == other and one["positive_angle"][-1] is not None
    assert all(np.array_equal(a, b) for a, b in zip(choose(scenario), choose(turned), strict=True))
    for name in ("labels", "scored", "task2"):
        a, b = ((run.folder / "logits" / f"{name}.npy").read_bytes() for run in runs)
        assert a == b


def test_a_configuration_has_another_hash_on_each_view() -> None:
    views = ("all", "validation", "validation:0.2", "validation+limited:30", "limited:30+validation")
    hashes = [prepare("er", "overlapping", view=view).config_hash for view in views]
    assert len(set(hashes)) == len(views)
    assert prepare("er", "overlapping", view="validation:0.1").config_hash == hashes[1]
