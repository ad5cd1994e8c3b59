"""From a configuration to what a run needs: scenario, model, memory and strategy, all seeded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clbench import plugins
from clbench.data.images import FileImages
from clbench.learning.engine import Engine
from clbench.learning.listener import Listener
from clbench.learning.loader import WORKERS, Loader
from clbench.learning.optim import build_optimizer
from clbench.learning.strategy import Setup, Strategy
from clbench.learning.trainer import build_criterion
from clbench.learning.world import world
from clbench.memory import Memory
from clbench.models.features import FeatureSource
from clbench.models.network import Network, build_model
from clbench.models.weights import check_weights, weights_record
from clbench.randomness import generator
from clbench.running.config import Config
from clbench.running.sharing import check_ranks, check_shareable, share_out
from clbench.scenario.builder import load_builder
from clbench.scenario.tasks import Scenario
from clbench.scenario.views import seen_through
from clbench.store.folder import run_folder, short_hash

SAID, COUNTED = ("images", "notes", "absent"), ("classes", "groups", "tasks", "train_positives")
"""Parts of a manifest: those whose values are said where they have changed, and those that would be too long."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A configuration together with its data: all that is the same for every seed.

    Of a scenario that is drawn from the seed it is one seed's; then only what it was drawn from is the same for all.
    """

    config: Config
    scenario: Scenario

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return self.scenario.manifest()

    @cached_property
    def weights(self) -> dict[str, Any]:
        return weights_record(self.config.options["model"], load_builder(self.config.scenario).dataset)

    @cached_property
    def paper(self) -> dict[str, Any] | None:
        """How the scenario's paper trained, as far as it concerns this run; see `clbench.scenario.paper`."""
        config = self.config
        paper = load_builder(config.scenario).configured(config.options["scenario"]).paper()
        return paper.record(config.options, {"memory": config.memory, "head": config.head}) if paper else None

    @cached_property
    def hashed(self) -> dict[str, Any]:
        """What the configuration's hash is of; see `Config.identity`."""
        drawn = self.scenario.drawn
        data = drawn.source if drawn else self.manifest["hash"]
        return self.config.identity(scenario_name=self.scenario.name, data=data, weights=self.weights)

    @cached_property
    def config_hash(self) -> str:
        """The same for every seed; of a scenario that is drawn from it, too."""
        return short_hash(self.hashed)

    def changes(self, env: Mapping[str, Any]) -> str:
        """In words, what is other than when a run began; env: its env.json."""
        then, now = env.get("manifest", {}), self.manifest
        found = [f"{key} were {then.get(key)} and are {now[key]}" for key in SAID if then.get(key) != now[key]]
        found += [f"{key} differ" for key in COUNTED if then.get(key) != now[key]]
        if not found and then.get("hash") != now["hash"]:
            found = ["labels, or which images a task has, differ"]
        if any(env.get("weights", {}).get(key) != self.weights[key] for key in ("source", "sha256")):
            found.append("the initial weights differ")
        return "; ".join(found) or "its options or clbench have changed"

    @property
    def modified(self) -> str | None:
        """When the newest image file was written; None where pixels are not from such files."""
        images = self.scenario.images
        return images.modified if isinstance(images, FileImages) else None

    def folder(self, out: Path, seed: int) -> Path:
        """Where the run with this seed goes. Raises ValueError where the tasks are another seed's."""
        drawn = self.scenario.drawn
        if drawn and drawn.seed != seed:
            raise ValueError(f"expected the tasks of seed {seed} but got those of seed {drawn.seed}")
        return run_folder(out, self.scenario.name, self.config.strategy, self.config_hash, seed)

    def identity(self, seed: int, device: torch.device) -> dict[str, Any]:
        """What must be the same for a run to go on from a checkpoint."""
        return {"config": self.config_hash, "data": self.manifest["hash"], "seed": seed, "device": device.type}


def build_scenario(config: Config, data_root: Path | None = None, seed: int = 0) -> Scenario:
    """The configured scenario, through the configured view. Raises DataError and UsageError.

    seed: the run's; it counts where `seeded` says so.
    """
    builder = load_builder(config.scenario).configured(config.options["scenario"], data_root)
    return seen_through(builder.of_seed(seed).build(), config.view)


def check(config: Config, data_root: Path | None = None) -> None:
    """What is wrong with a run and can be told before its data are looked for. Raises UsageError and DataError."""
    check_ranks(config, world().size)
    load_builder(config.scenario).configured(config.options["scenario"], data_root).check()
    check_weights(config.options["model"])


def seeded(config: Config) -> bool:
    """Whether each seed has a scenario of its own; see `ScenarioBuilder.seeded`."""
    return load_builder(config.scenario).configured(config.options["scenario"]).seeded


def build_strategy(
    prepared: Prepared,
    seed: int,
    device: torch.device,
    *,
    cache: Path | None = None,
    listeners: Sequence[Listener] = (),
    workers: int = WORKERS,
    engine: Engine | None = None,
) -> Strategy:
    """Model, optimiser, memory and strategy of one run, all seeded.

    workers: threads that decode images ahead. engine: the processes that share the run; this one alone without it.
    cache: where the maps of a frozen backbone are kept; in memory without one. They are computed here.
    """
    config, scenario, engine = prepared.config, prepared.scenario, engine or Engine()
    check_ranks(config, engine.size)
    strategy_class = plugins.load("strategy", config.strategy)
    check_shareable(strategy_class, config.strategy, engine)
    first = scenario.joined()[0] if strategy_class.joint else scenario[0]
    columns = len(first.classes) if scenario.growing else scenario.num_classes
    model: Network = build_model(
        config.options["model"], columns, seed, head=config.head, head_options=config.options["head"]
    ).to(device)
    features = partial(FeatureSource, scenario.images, scenario.ids, device=device, cache=cache)
    with engine.one_ahead():  # which computes the maps
        images = prepared_maps(scenario, features(model), listeners) if model.frozen else scenario.images
    if engine.size > 1:
        share_out(model, images.read(scenario.test_indices()[:2]).to(device), engine)
    setup = Setup(
        options=config.options["strategy"],
        train=config.options["train"],
        model=model,
        optimizer=partial(build_optimizer, config.options["train"]),
        criterion=build_criterion(config.options["train"]),
        memory=build_memory(config, columns, seed),
        loader=Loader(images, device, workers, engine),
        features=features,
        device=device,
        seed=seed,
        engine=engine,
    )
    strategy: Strategy = strategy_class(setup)
    return strategy


def build_memory(config: Config, columns: int, seed: int) -> Memory | None:
    """The configured memory, empty; None where there is none."""
    if config.memory is None:
        return None
    memory: Memory = plugins.load("memory", config.memory)(config.options["memory"], columns, generator(seed, "memory"))
    return memory


def prepared_maps(scenario: Scenario, source: FeatureSource, listeners: Sequence[Listener]) -> FeatureSource:
    """The source, once it has the maps of every image that the scenario's tasks use."""

    def progress(done: int, total: int) -> None:
        for listener in listeners:
            listener.features(done, total)

    source.prepare(np.concatenate([scenario.test_indices(), *(task.train for task in scenario)]), progress)
    for listener in listeners:
        listener.features_ready(source.seconds)
    return source
