import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from clbench.errors import DataError, UsageError
from clbench.learning.listener import Listener
from clbench.randomness import generator
from clbench.running.build import Prepared, build_scenario, build_strategy, check, seeded
from clbench.running.config import resolve

CPU = torch.device("cpu")


def prepare(scenario: str = "debug", strategy: str = "er", view: str = "all", **settings: Any) -> Prepared:
    config = resolve(scenario, strategy, view=view, settings=settings)
    return Prepared(config, build_scenario(config))


def test_a_scenario_is_seen_through_the_configured_view() -> None:
    whole, part = prepare().scenario, prepare(view="first:2+limited:3").scenario
    assert (len(whole), len(part)) == (3, 2) and all(len(task.train) <= 3 for task in part)


def test_a_folder_says_what_a_run_is_and_its_identity_what_it_may_go_on_from() -> None:
    prepared = prepare()
    folder = prepared.folder(Path("out"), 4)
    assert folder == Path("out/debug/er") / prepared.config_hash / "seed4"
    assert prepare(lr=0.5).config_hash != prepared.config_hash == prepare().config_hash
    data = prepared.scenario.manifest()["hash"]
    identity = {"config": prepared.config_hash, "data": data, "seed": 4, "device": "cpu"}
    assert prepared.identity(4, CPU) == identity


@pytest.mark.parametrize(
    ("scenario", "strategy", "columns"),
    [("debug", "er", 6), ("debug-incremental", "er", None), ("debug-incremental", "joint", 6)],
)
def test_a_growing_head_begins_with_the_first_task(scenario: str, strategy: str, columns: int | None) -> None:
    prepared = prepare(scenario, strategy)
    model = build_strategy(prepared, 0, CPU).model
    assert model.head.num_classes == (columns or len(prepared.scenario[0].classes))


def test_the_seed_decides_the_model_and_the_draws() -> None:
    prepared = prepare()

    def weights(seed: int) -> torch.Tensor:
        return torch.cat([p.detach().flatten() for p in build_strategy(prepared, seed, CPU).model.parameters()])

    assert torch.equal(weights(0), weights(0)) and not torch.equal(weights(0), weights(1))


def test_without_a_memory_there_is_none() -> None:
    assert build_strategy(prepare(strategy="finetune"), 0, CPU).memory is None
    memory = build_strategy(prepare(size=4), 0, CPU).memory
    assert memory is not None and len(memory) == 0 and memory.size == 4


def test_a_memory_draws_by_this_word_or_runs_that_are_there_would_be_others() -> None:
    memory = build_strategy(prepare(), 3, CPU).memory
    assert memory is not None and memory.generator.bit_generator.state == generator(3, "memory").bit_generator.state


class Maps(Listener):
    def __init__(self) -> None:
        self.blocks: list[tuple[int, int]] = []
        self.seconds: list[float] = []

    def features(self, done: int, total: int) -> None:
        self.blocks.append((done, total))

    def features_ready(self, seconds: float) -> None:
        self.seconds.append(seconds)


def test_maps_of_a_frozen_backbone_are_computed_once_and_listeners_hear_how_long_it_took(tmp_path: Path) -> None:
    prepared = prepare(freeze="backbone")
    first, second, warm = Maps(), Maps(), Maps()
    build_strategy(prepared, 0, CPU, cache=tmp_path, listeners=[first, second])
    build_strategy(prepared, 0, CPU, cache=tmp_path, listeners=[warm])
    assert first.blocks == second.blocks == [(1, 1)] and not warm.blocks  # 30 images are one block
    assert first.seconds == second.seconds and len(first.seconds) == len(warm.seconds) == 1 and first.seconds[0] > 0
    pixels = Maps()
    build_strategy(prepare(), 0, CPU, cache=tmp_path, listeners=[pixels])
    assert not pixels.seconds


def test_frozen_and_trained_are_other_strategies_of_the_same_data() -> None:
    frozen = prepare(freeze="backbone")
    again = Prepared(frozen.config, replace(frozen.scenario))
    assert again.config_hash == frozen.config_hash != prepare().config_hash
    assert again.manifest["hash"] == prepare().manifest["hash"]


def drawn(seed: int, **settings: Any) -> Prepared:
    config = resolve("debug-incremental", "er", settings={"order": "seed", **settings})
    return Prepared(config, build_scenario(config, None, seed))


def test_tasks_drawn_from_the_seed_are_other_data_of_one_configuration() -> None:
    first, second = drawn(0), drawn(1)
    assert first.scenario.classes != second.scenario.classes
    assert first.config_hash == second.config_hash != drawn(0, missing="masked").config_hash
    assert first.config_hash != prepare("debug-incremental", order="random:0").config_hash
    assert first.identity(0, CPU)["data"] == first.manifest["hash"] != second.identity(1, CPU)["data"]
    assert first.folder(Path("out"), 0).parent == second.folder(Path("out"), 1).parent


def test_the_tasks_of_one_seed_are_no_other_runs() -> None:
    with pytest.raises(ValueError, match="expected the tasks of seed 1 but got those of seed 0"):
        drawn(0).folder(Path("out"), 1)


def test_only_what_is_drawn_from_the_seed_needs_one() -> None:
    assert seeded(resolve("debug-incremental", "er", settings={"order": "seed"}))
    assert seeded(resolve("digits-seq", "er", settings={"order": "seed"}))
    assert seeded(resolve("split-coco", "er", settings={"order": "seed"}))
    assert not seeded(resolve("digits-seq", "er")) and not seeded(resolve("debug-incremental", "er"))
    config = resolve("debug", "er")
    assert build_scenario(config, None, 1).manifest() == build_scenario(config).manifest()


def test_what_has_changed_since_a_run_began_is_said() -> None:
    prepared = prepare()
    env: dict[str, Any] = {"manifest": prepared.manifest, "weights": prepared.weights}
    env = json.loads(json.dumps(env))
    assert prepared.changes(env) == "its options or clbench have changed"
    assert prepared.changes({**env, "weights": {"source": "imagenet"}}) == "the initial weights differ"
    for key, value, said in (
        ("images", "files", f"images were files and are {prepared.scenario.images.fingerprint}"),
        ("absent", 3, "absent were 3 and are 0"),
        ("tasks", [], "tasks differ"),
        ("hash", "0", "labels, or which images a task has, differ"),
    ):
        assert prepared.changes({**env, "manifest": {**env["manifest"], key: value}}) == said


def test_what_is_typed_wrong_is_told_without_the_data(tmp_path: Path) -> None:
    check(resolve("debug", "er"))
    with pytest.raises(UsageError, match="Expected --data-root DIR"):
        check(resolve("coco-b0-c10", "er"))
    with pytest.raises(DataError, match="but there is no such file"):
        check(resolve("debug", "er", settings={"weights": str(tmp_path / "w.safetensors")}))
