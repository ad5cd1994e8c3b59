"""Every strategy, head and memory on a pretended CUDA device. Nothing here has run on a GPU."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cuda_rules import FOREIGN_GENERATOR, FOREIGN_GRADIENT, FOREIGN_INDEX, NO_NUMPY, TWO_DEVICES
from pairs import pairs
from pretended_cuda import CPU, CUDA, PretendedCuda, Wait

from clbench import Batch, Setup, Strategy, Values, plugins
from clbench.learning.batch import Replay
from clbench.learning.listener import Evaluation, Listener
from clbench.learning.loader import Loader
from clbench.learning.trainer import Progress, train
from clbench.memory import COLUMNS
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve
from clbench.running.execute import How, execute
from clbench.running.stops import Requests, Stopped
from clbench.scenario.samples import Samples
from clbench.scenario.views import first
from clbench.testing.states import copied, same

SCENARIOS = ("debug", "debug-incremental")
SMALL = {"batch_size": 2, "epochs": 1}
"""With four images of each task: two steps, so that a run can be stopped between them."""

MAY_WAIT = {
    "build_strategy": "the model goes to the device",
    "load_state": "a checkpoint comes to the device; a head that had grown draws its rows on the CPU first",
    "before_task": "a head grows, or columns become old",
    "after_task": "once a task: what a strategy keeps of it, such as Fisher information",
    "evaluate": "once a task: the scores and the angle come to the host",
}
"""Functions within which the host may wait, and for what. None of them is called at each step."""

MUST_NOT_WAIT = {"load", "observe", "predict"}
"""What is done with each batch: within these the host may not wait, wherever they are called."""

DECIDES = {
    "_answer": "of `ModelCues`: a memory that asks for features or gradients decides on the host",
    "_on_host": "of `gem`: its quadratic programme is solved on the host",
}
"""But for these themselves."""

FOREIGN = "avalanche-"
"""Strategies whose steps are another library's, which waits as it likes."""


class Broken(Exception):
    """A run was stopped, to be resumed."""


class Breaks(Listener):
    """Stops a run within each task, and between tasks."""

    def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
        assert all(isinstance(value, torch.Tensor) and value.is_cuda for value in values.values())
        if step == 0:
            raise Broken

    def evaluated(self, task: int, evaluation: Evaluation) -> None:
        raise Broken


load = cache(plugins.load)
"""A plugin's file is parsed at each loading; here hundreds of times, though none of them changes."""


@pytest.fixture(autouse=True)
def loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "load", load)


def prepare(scenario: str, name: str, memory: str | None, head: str, **settings: str) -> Prepared:
    config = resolve(scenario, name, memory=memory, head=head, view="limited:4", settings={**SMALL, **settings})
    return Prepared(config, build_scenario(config))


def trained(prepared: Prepared, device: torch.device, *listeners: Listener) -> tuple[Strategy, list[Evaluation]]:
    """Train from start to end. Where a listener breaks the run, it goes on in a strategy built from its state."""
    torch.manual_seed(0)
    strategy, progress = build_strategy(prepared, 0, device), Progress()
    scenario, options = prepared.scenario, prepared.config.options["train"]
    while True:
        try:
            return strategy, train(strategy, scenario, options, seed=0, listeners=listeners, progress=progress)
        except Broken:
            state = copied(strategy.state())
            strategy = build_strategy(prepared, 0, device)
            strategy.load_state(state)


def unexpected(waits: list[Wait]) -> list[tuple[str, str]]:
    """What makes the host wait elsewhere than it may, and where."""
    return [
        (wait.what, wait.where)
        for wait in waits
        if wait.within[0] not in DECIDES
        and (
            MUST_NOT_WAIT.intersection(wait.within)
            or not (MAY_WAIT.keys() & set(wait.within) or wait.what == "torch.cuda.synchronize")
        )
    ]


def check(prepared: Prepared) -> None:
    """Stopped and resumed on the pretended device: no mix, no wait in a step, and the bits of the CPU's run."""
    expected, expected_evaluations = trained(prepared, CPU)
    with PretendedCuda() as cuda:
        strategy, evaluations = trained(prepared, CUDA, Breaks())
        for module in strategy.modules().values():
            assert all(tensor.is_cuda for tensor in module.state_dict().values())
    if not prepared.config.strategy.startswith(FOREIGN):
        assert not unexpected(cuda.waits)
    assert same(strategy.state(), expected.state())
    assert len(evaluations) == len(expected_evaluations)
    for got, wanted in zip(evaluations, expected_evaluations, strict=True):
        assert np.array_equal(got.logits, wanted.logits, equal_nan=True)
        assert (got.positive_angle, got.memory_counts) == (wanted.positive_angle, wanted.memory_counts)


def combinations() -> Iterator[Any]:
    """Every two of strategy, head and memory that go together.

    Slow but for what a strategy has by default where the head grows: that has all that the other scenario has, on which
    nothing but the default is tried.
    """
    for (name, memory, head), scenario in product(pairs(), SCENARIOS):
        strategy = load("strategy", name)
        if not strategy.incompatible(scenario=scenario, head=head, memory=memory):
            default = (head, memory) == (strategy.head, strategy.memory_policy)
            if not default and scenario != "debug-incremental":
                continue
            marks = () if default and scenario == "debug-incremental" else pytest.mark.slow
            yield pytest.param(scenario, name, head, memory, marks=marks, id=f"{scenario}-{name}-{head}-{memory}")


@pytest.mark.parametrize(("scenario", "name", "head", "memory"), list(combinations()))
def test_a_run_stopped_and_resumed_has_the_bits_of_the_cpu_and_no_step_waits(
    scenario: str, name: str, head: str, memory: str | None
) -> None:
    check(prepare(scenario, name, memory, head))


class Keeps(Strategy):
    """Holds replayed logits to those of their first time, which stand in the memory."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        assert self.memory is not None
        self.memory.keep("logits", (COLUMNS,), torch.float32, self.device)

    def losses(self, batch: Batch, replay: Replay | None) -> dict[str, torch.Tensor]:
        found = super().losses(batch, replay)
        if replay is not None:
            found["kept"] = (self.model(replay.inputs) - replay.kept["logits"]).square().mean()
        return found

    def remember(self, batch: Batch, **kept: torch.Tensor) -> None:
        with torch.no_grad():
            super().remember(batch, logits=self.model(batch.inputs), **kept)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_stands_beside_a_memory_is_written_and_read_without_a_wait(
    monkeypatch: pytest.MonkeyPatch, scenario: str
) -> None:
    monkeypatch.setattr(plugins, "load", lambda kind, name: Keeps if kind == "strategy" else load(kind, name))
    check(prepare(scenario, "er", "reservoir", "linear"))


class StopsOnce(Requests, Listener):
    """Asks a run to stop after the first step of its second task."""

    def __init__(self) -> None:
        super().__init__()
        self._wanted = True
        self._now = False

    def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
        self._now = self._wanted and task == 1

    def stop(self) -> Stopped | None:
        if not self._now:
            return None
        self._now = self._wanted = False
        return Stopped("planted", 75)


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["none", "backbone"])
def test_a_run_on_disk_stopped_and_resumed_has_the_files_of_the_cpu(tmp_path: Path, freeze: str) -> None:
    prepared = prepare("debug-incremental", "lwf", "reservoir", "dlfl", freeze=freeze)
    stops = StopsOnce()
    expected = execute(prepared, 0, tmp_path / "cpu", How("cpu"))
    with PretendedCuda() as cuda:
        with pytest.raises(Stopped):
            execute(prepared, 0, tmp_path / "cuda", How("cuda"), requests=stops, listeners=[stops])
        got = execute(prepared, 0, tmp_path / "cuda", How("cuda"))
    assert not [wait for wait in cuda.waits if MUST_NOT_WAIT.intersection(wait.within)]
    assert got.env["device"] == "cuda" and got.env["resumed_after_step"] == 3
    for name in ("events.jsonl", *(f"logits/task{task}.npy" for task in range(3)), "attention.npz"):
        assert (got.folder / name).read_bytes() == (expected.folder / name).read_bytes(), name


def test_the_readme_says_that_this_is_no_gpu() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    assert "Nothing has been run on a GPU" in " ".join(readme.split())


Error = Callable[[Strategy, Batch], object]


def leave_gradients(model: torch.nn.Module) -> None:
    for parameter in model.parameters():
        parameter.grad = torch.zeros(parameter.shape)


MIXES: dict[str, tuple[Error, str]] = {
    "labels left on the CPU": (lambda s, b: s.criterion(s.model(b.inputs), b.labels.cpu(), b.known), TWO_DEVICES),
    "images left on the CPU": (lambda s, b: s.model(b.inputs.cpu()), TWO_DEVICES),
    "a tensor made without a device": (lambda s, b: b.labels + torch.zeros(b.labels.shape), TWO_DEVICES),
    "a table on the CPU": (lambda s, b: torch.arange(9)[b.labels.long()], FOREIGN_INDEX),
    "a generator of the CPU": (lambda s, b: torch.bernoulli(b.labels, generator=torch.Generator()), FOREIGN_GENERATOR),
    "numbers of the CPU's generator": (
        lambda s, b: torch.rand(2, device=s.device, generator=torch.Generator()),
        FOREIGN_GENERATOR,
    ),
    "NumPy on the device": (lambda s, b: b.labels.numpy(), NO_NUMPY),
    "an array of a tensor on the device": (lambda s, b: np.asarray(b.labels), NO_NUMPY),
    "a buffer left on the CPU": (lambda s, b: setattr(s.model, "mean", s.model.mean.cpu()), TWO_DEVICES),
    "a gradient on the CPU": (lambda s, b: leave_gradients(s.model), FOREIGN_GRADIENT),
}
"""What CUDA would refuse."""

WAITS: dict[str, Error] = {
    "item": lambda s, b: b.labels.sum().item(),
    "float": lambda s, b: float(b.labels.sum()),
    "a comparison": lambda s, b: 1 if b.labels.sum() > 0 else 0,
    "tolist": lambda s, b: b.labels.tolist(),
    "cpu": lambda s, b: b.labels.cpu(),
    "a list as indices": lambda s, b: b.labels[:, [0, 1]],
    "indices on the CPU": lambda s, b: b.labels[:, torch.tensor([0, 1])],
    "a mask": lambda s, b: b.labels[b.known],
    "nonzero": lambda s, b: b.labels.nonzero(),
    "unique": lambda s, b: b.labels.unique(),  # type: ignore[no-untyped-call]
    "equal": lambda s, b: torch.equal(b.labels, b.labels),
    "numbers made into a tensor": lambda s, b: torch.tensor([0, 1], device=s.device),
    "tensors made into one": lambda s, b: torch.tensor([b.labels.sum(), b.labels.sum()]),
    "memory that is not pinned": lambda s, b: torch.zeros(9).to(s.device, non_blocking=True),
    "a linear system": lambda s, b: torch.linalg.inv(torch.eye(2, device=s.device)),
}
"""What would make the host wait."""


@pytest.fixture
def one_task() -> Prepared:
    prepared = prepare("debug", "finetune", None, "linear")
    return replace(prepared, scenario=first(prepared.scenario, 1))


def plant(monkeypatch: pytest.MonkeyPatch, error: Error) -> None:
    """Let finetune make an error at each step."""
    strategy = plugins.load("strategy", "finetune")
    plain = strategy.observe

    def observe(self: Strategy, batch: Batch) -> Values:
        error(self, batch)
        values: Values = plain(self, batch)
        return values

    monkeypatch.setattr(strategy, "observe", observe)


@pytest.mark.parametrize("name", MIXES)
def test_a_mix_in_a_step_is_found(monkeypatch: pytest.MonkeyPatch, one_task: Prepared, name: str) -> None:
    error, words = MIXES[name]
    plant(monkeypatch, error)
    with PretendedCuda(), pytest.raises((RuntimeError, TypeError)) as raised:
        trained(one_task, CUDA)
    assert str(raised.value).startswith(words)


@pytest.mark.parametrize("name", WAITS)
def test_a_wait_in_a_step_is_found(monkeypatch: pytest.MonkeyPatch, one_task: Prepared, name: str) -> None:
    plant(monkeypatch, WAITS[name])
    with PretendedCuda() as cuda:
        trained(one_task, CUDA)
    found = unexpected(cuda.waits)
    assert len(found) == 2, "once at each of two steps"
    assert all(where.startswith("test_pretended_cuda.py:") for _, where in found)


def test_a_batch_that_is_not_pinned_and_a_listener_that_reads_are_found(
    monkeypatch: pytest.MonkeyPatch, one_task: Prepared
) -> None:
    class Reads(Listener):
        def stepped(self, task: int, step: int, values: Values, samples: Samples) -> None:
            float(values["loss"])

    with PretendedCuda() as cuda:
        trained(one_task, CUDA, Reads())
        assert [what for what, _ in unexpected(cuda.waits)] == ["aten._local_scalar_dense.default"] * 2
        cuda.waits.clear()
        monkeypatch.setattr(Loader, "on_device", lambda self, tensor: tensor.to(self._device))
        trained(one_task, CUDA)
        assert {what for what, _ in unexpected(cuda.waits)} == {"copy to the device"}
