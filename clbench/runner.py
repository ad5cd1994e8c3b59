"""From a configuration to a run folder: builds the scenario, the model and the strategy, trains, records."""

import math
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from clbench import environment, metrics, plugins
from clbench.batch import loader
from clbench.config import DEFAULT_MEMORY, Config, resolve
from clbench.errors import UsageError
from clbench.files import DEFAULT_OUT
from clbench.models.features import FOLDER as FEATURES
from clbench.models.features import FeatureSource
from clbench.models.network import Network, build_model, weights_record
from clbench.randomness import derive, generator
from clbench.records import DIVERGED, DONE, FAILED, INTERRUPTED, RUNNING, Run, RunWriter, run_folder
from clbench.scenario import Scenario
from clbench.strategy import Setup, Strategy, Values
from clbench.trainer import Diverged, Evaluation, Listener, build_criterion, build_optimizer, train

FLUSH_EVERY = 50
"""Steps between two readings of the losses: each reading waits for the device."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A configuration together with its data: all that is the same for every seed."""

    config: Config
    scenario: Scenario

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return self.scenario.manifest()

    @cached_property
    def weights(self) -> dict[str, Any]:
        dataset = plugins.load("scenario", self.config.scenario).dataset
        return weights_record(self.config.options["model"], dataset)

    @cached_property
    def config_hash(self) -> str:
        return self.config.hash(scenario_name=self.scenario.name, data=self.manifest["hash"], weights=self.weights)

    def folder(self, out: Path, seed: int) -> Path:
        """Where the run with this seed goes."""
        return run_folder(out, self.scenario.name, self.config.strategy, self.config_hash, seed)


def build_scenario(config: Config, data_root: Path | None = None) -> Scenario:
    """The configured scenario, limited if the configuration says so. Raises DataError."""
    builder = plugins.load("scenario", config.scenario)(config.options["scenario"], data_root)
    scenario: Scenario = builder.build()
    return scenario if config.limit is None else scenario.limited(config.limit)


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one. Raises UsageError for a device that cannot be had."""
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"Expected --device to be auto, cpu or cuda but got {name!r}.")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("Expected a CUDA device for --device cuda but found none; use --device cpu or auto.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def build_strategy(
    prepared: Prepared,
    seed: int,
    device: torch.device,
    *,
    cache: Path | None = None,
    listeners: Sequence[Listener] = (),
) -> Strategy:
    """Model, optimiser, memory and strategy of one run, all seeded.

    cache: where the maps of a frozen backbone are kept; in memory without one. They are computed here.
    """
    config, scenario = prepared.config, prepared.scenario
    strategy_class = plugins.load("strategy", config.strategy)
    first = scenario.joined()[0] if strategy_class.joint else scenario[0]
    columns = len(first.classes) if scenario.growing else scenario.num_classes
    model: Network = build_model(config.options["model"], columns, seed).to(device)
    features = frozen_features(scenario, model, device, cache, listeners) if model.frozen else None
    memory = None
    if config.memory:
        policy = plugins.load("memory", config.memory)
        memory = policy(config.options["memory"], scenario.num_classes, generator(seed, "memory"))
    setup = Setup(
        options=config.options["strategy"],
        model=model,
        optimizer=build_optimizer(config.options["train"], model),
        criterion=build_criterion(config.options["train"]),
        memory=memory,
        loader=loader(features or scenario.images, device),
        device=device,
        seed=seed,
        grad_clip=config.options["train"].grad_clip,
        replay_labels=scenario.replay,
        feature_seconds=features.seconds if features else 0.0,
    )
    strategy: Strategy = strategy_class(setup)
    return strategy


def frozen_features(
    scenario: Scenario, model: Network, device: torch.device, cache: Path | None, listeners: Sequence[Listener]
) -> FeatureSource:
    """The maps of every image that the scenario's tasks use."""

    def progress(done: int, total: int) -> None:
        for listener in listeners:
            listener.features(done, total)

    source = FeatureSource(scenario, model, device, cache)
    source.prepare(np.concatenate([scenario.test_indices(), *(task.train for task in scenario)]), progress)
    return source


def run(
    scenario: str = "digits-seq",
    strategy: str = "dlfl",
    *,
    seeds: Sequence[int] = (0,),
    memory: str | None = DEFAULT_MEMORY,
    limit: int | None = None,
    settings: Mapping[str, Any] | None = None,
    data_root: Path | None = None,
    out: Path = DEFAULT_OUT,
    device: str = "auto",
    rerun: bool = False,
    listeners: Sequence[Listener] = (),
) -> list[Run]:
    """Run a strategy on a scenario, once for each seed; a run that is done already is not run again.

    settings: option -> value, as `--set` takes them, e.g. ``{"head": "dlfl", "lr": 1e-3}``.

    Raises:
        UsageError, PluginError, DataError: nothing has run. Whatever a run raises is recorded in its folder first.
    """
    config = resolve(scenario, strategy, memory=memory, limit=limit, settings=settings)
    chosen, prepared = choose_device(device), Prepared(config, build_scenario(config, data_root))
    runs = []
    for seed in seeds:
        existing = finished(prepared.folder(out, seed))
        runs.append(
            existing if existing and not rerun else execute(prepared, seed, out=out, device=chosen, listeners=listeners)
        )
    return runs


def finished(folder: Path) -> Run | None:
    """The run in a folder, if it is done."""
    run = Run(folder)
    return run if (folder / "status.json").exists() and run.state == DONE else None


def execute(
    prepared: Prepared, seed: int, *, out: Path, device: torch.device, listeners: Sequence[Listener] = ()
) -> Run:
    """Run one seed from its start; whatever stops it is recorded in the run folder before it is raised."""
    deterministic(seed, prepared.config.options["train"].threads)
    writer = RunWriter(prepared.folder(out, seed))
    writer.json(
        "config.json", {**prepared.config.resolved(), "seed": seed, "protocol": dict(prepared.scenario.protocol)}
    )
    env = environment.describe(device)
    env |= {
        "manifest": prepared.manifest,
        "weights": prepared.weights,
        "freeze": prepared.config.options["model"].freeze,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }
    writer.json("env.json", env)
    if prepared.scenario.absent:
        writer.text("absent.txt", "".join(f"{path}\n" for path in prepared.scenario.absent))
    writer.status(RUNNING)
    try:
        recorder = Recorder(writer)
        writer.json("metrics.json", _train(prepared, seed, device, writer, [recorder, *listeners]))
    except Diverged as error:
        writer.close(DIVERGED, str(error))
        raise
    except Exception as error:
        writer.text("traceback.txt", traceback.format_exc())
        writer.close(FAILED, f"{type(error).__name__}: {error}")
        raise
    except BaseException as error:  # a signal
        writer.close(INTERRUPTED, type(error).__name__)
        raise
    writer.close(DONE)
    return Run(writer.folder)


def _train(
    prepared: Prepared, seed: int, device: torch.device, writer: RunWriter, listeners: Sequence[Listener]
) -> dict[str, Any]:
    """Train, save the logits, and return what metrics.json holds."""
    cache = writer.folder.parents[3] / FEATURES  # below `out`
    scenario, strategy = prepared.scenario, build_strategy(prepared, seed, device, cache=cache, listeners=listeners)
    evaluations = train(strategy, scenario, prepared.config.options["train"], seed=seed, listeners=listeners)
    writer.array("labels", scenario.labels[scenario.test_indices()])
    for number, evaluation in enumerate(evaluations):
        writer.array(f"task{number}", evaluation.logits)
    return score(scenario, evaluations, joint=strategy.joint) | costs(scenario, strategy, evaluations)


def deterministic(seed: int, threads: int) -> None:
    """Seed torch's own generator (dropout), fix the threads, and ask CUDA for the algorithms that repeat."""
    torch.set_num_threads(threads)
    torch.manual_seed(derive(seed, "torch"))
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def score(scenario: Scenario, evaluations: Sequence[Evaluation], *, joint: bool) -> dict[str, Any]:
    """The metrics of a run from its saved logits; see `clbench.metrics.evaluate`."""
    test = scenario.test_indices()
    rows = {int(index): row for row, index in enumerate(test)}
    return metrics.evaluate(
        [evaluation.logits for evaluation in evaluations],
        scenario.labels[test],
        [np.array([rows[int(i)] for i in task.test], np.int64) for task in scenario],
        [task.classes for task in scenario],
        scenario.groups,
        threshold=float(scenario.protocol.get("threshold", 0.5)),
        joint=joint,
    )


def costs(scenario: Scenario, strategy: Strategy, evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    """What a run took. Memory bytes: those of the stored images, uint8, 3 x S x S each."""
    stored = 0 if strategy.memory is None else len(strategy.memory)
    return {
        "positive_angle": [evaluation.positive_angle for evaluation in evaluations],
        "cost": {
            "feature_seconds": strategy.feature_seconds,
            "train_seconds": [evaluation.train_seconds for evaluation in evaluations],
            "eval_seconds": [evaluation.eval_seconds for evaluation in evaluations],
            "peak_memory_bytes": environment.peak_memory_bytes(strategy.device),
            "memory_bytes": stored * 3 * scenario.images.size**2,
            "parameters": strategy.model.parameter_count,
        },
    }


class Recorder(Listener):
    """Writes every step's numbers to events.jsonl, reading them from the device in bulk.

    Raises:
        Diverged: a recorded number is not finite; says at which step.
    """

    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer
        self._waiting: list[tuple[int, int, Values]] = []

    def stepped(self, task: int, step: int, values: Values, images: int) -> None:
        self._waiting.append((task, step, values))
        if len(self._waiting) >= FLUSH_EVERY:
            self._flush()

    def evaluated(self, task: int, evaluation: Evaluation) -> None:
        self._flush()
        event = {
            "event": "evaluated",
            "task": task,
            "train_seconds": evaluation.train_seconds,
            "eval_seconds": evaluation.eval_seconds,
        }
        self._writer.events([event])

    def _flush(self) -> None:
        events = [
            {"event": "step", "task": task, "step": step} | {name: float(value) for name, value in values.items()}
            for task, step, values in self._waiting
        ]
        self._waiting.clear()
        for event in events:
            bad = [name for name, value in event.items() if isinstance(value, float) and not math.isfinite(value)]
            if bad:
                raise Diverged(
                    f"Expected finite numbers but {bad[0]} was {event[bad[0]]} at task {event['task']}, step "
                    f"{event['step']}; try a smaller learning rate (--set lr=…)."
                )
        self._writer.events(events)
