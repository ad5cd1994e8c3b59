"""What a run would take, from its first steps: the real model on real batches, thrown away; nothing is written."""

import time
from dataclasses import replace
from itertools import islice

import torch

from clbench.launch.estimates import Cost, Load
from clbench.learning.batch import Values
from clbench.learning.engine import deterministic
from clbench.learning.listener import Listener
from clbench.learning.strategy import Strategy
from clbench.learning.trainer import evaluate, joint_options, learn, stages_of, stream
from clbench.running.build import Prepared, build_strategy
from clbench.running.environment import peak_memory_bytes
from clbench.scenario.samples import Samples
from clbench.scenario.views import limited

STEPS, TASKS = 4, 2
"""Steps of each task, and tasks: the first step warms up, and a teacher or a full replay begin with the second task."""


class Clock(Listener):
    """When each step of a task was done, and how long a frozen backbone's maps took; seconds."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.seconds = 0.0

    def features_ready(self, seconds: float) -> None:
        self.seconds += seconds

    def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
        float(values["loss"])  # waits for the device
        self.times.append(time.perf_counter())


def timed(prepared: Prepared, load: Load, seed: int, device: torch.device, workers: int) -> Cost:
    """Take a few steps of two tasks, and score a few images, in a model that is not kept.

    What comes once a task, or grows with their number, is not in it. load: the run's. memory_bytes: the largest so far,
    of this process or the device. Raises what building and learning raise.
    """
    options = prepared.config.options["train"]
    few = replace(prepared, scenario=limited(prepared.scenario, STEPS * options.batch_size))
    deterministic(seed, options.threads)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    clock = Clock()
    strategy = build_strategy(few, seed, device, workers=workers, listeners=[clock])
    step = _step_seconds(strategy, few, seed)
    begun = time.perf_counter()
    test = few.scenario.test_indices()
    evaluate(strategy, few.scenario, test, options.eval_batch_size)
    image = (time.perf_counter() - begun) / len(test)
    steps, scored = _steps(strategy, prepared), _scored(strategy, prepared)
    features = clock.seconds * _images(prepared) / _images(few)
    return Cost(load, step * steps, image * scored, features, peak_memory_bytes(device), timed=True)


def _step_seconds(strategy: Strategy, few: Prepared, seed: int) -> float:
    """The median from one step to the next, in the last task that is begun."""
    options = few.config.options["train"]
    tasks = few.scenario.joined() if strategy.joint else few.scenario
    seconds = 0.0
    for stage in islice(stages_of(tasks, options), TASKS):
        clock = Clock()
        learn(strategy, stage, islice(stream(stage.task, stage.number, options, seed), STEPS), [clock])
        between = [after - before for before, after in zip(clock.times, clock.times[1:], strict=False)]
        seconds = sorted(between)[len(between) // 2] if between else seconds
    return seconds


def _steps(strategy: Strategy, prepared: Prepared) -> int:
    scenario, options = prepared.scenario, prepared.config.options["train"]
    if strategy.joint:
        scenario, options = scenario.joined(), joint_options(scenario, options, strategy.passes)
    return sum(stage.steps for stage in stages_of(scenario, options))


def _scored(strategy: Strategy, prepared: Prepared) -> int:
    evaluations = 1 if strategy.joint else len(prepared.scenario)
    return evaluations * len(prepared.scenario.test_indices())


def _images(prepared: Prepared) -> int:
    scenario = prepared.scenario
    return len(scenario.test_indices()) + len(scenario.train_indices())
