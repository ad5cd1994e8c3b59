import json
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from once import once
from shared_runs import CASES, SINGLE
from threads import together
from torch import Tensor

from clbench import plugins
from clbench.errors import ClbenchError, UsageError
from clbench.learning.engine import Engine, Ranks, choose_device, deterministic, fingerprint, start
from clbench.randomness import derive


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    yield
    torch.set_num_threads(threads)
    torch.set_rng_state(state)


@pytest.mark.parametrize(
    ("name", "cuda", "kind"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_auto_is_cuda_where_there_is_one(name: str, cuda: bool, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert choose_device(name).type == kind


def test_one_of_several_devices_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(UsageError, match="Expected a CUDA device cuda:2 but there are 2, the first is cuda:0"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["cuda", "tpu", "cuda:0", "cuda:", "cuda:-1", "cpu:0", ""])
def test_a_device_that_cannot_be_had_is_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="Expected"):
        choose_device(name)


def test_of_several_processes_each_has_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "here"}.items():
        monkeypatch.setenv(name, value)
    assert choose_device("auto") == choose_device("cuda") == torch.device("cuda", 1)
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(UsageError, match="Expected --device cuda for 4 processes, each on its own, but got cuda:0"):
        choose_device("cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="process 3 is number 2 of its machine, which has 1; use a smaller"):
        choose_device("auto")


def test_the_seed_decides_what_pytorch_draws_and_threads_are_as_given() -> None:
    draws = []
    for seed in (0, 0, 1):
        deterministic(seed, 1)
        draws.append(torch.rand(3).tolist())
    assert draws[0] == draws[1] != draws[2]
    assert draws[0] == torch.rand(3, generator=torch.Generator().manual_seed(derive(0, "torch"))).tolist()
    deterministic(0, 2)
    assert torch.get_num_threads() == 2
    assert torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark


def test_one_process_has_everything_and_does_nothing_to_it() -> None:
    engine, rows = Engine(), torch.ones(3, 2)
    assert engine.share(rows) is rows and engine.total(rows) is rows and engine.gather(rows, ()) is rows
    assert engine.parts(3) == () and engine.largest(7) == 7 and engine.first(lambda: "done") == "done"
    assert deepcopy(engine) is engine
    with engine.together(), engine.watched(), engine.one_ahead():
        engine.wait()
        engine.check_alike({"memory": rows}, "after task 1")


def test_one_process_is_the_engine_unless_torchrun_says_otherwise() -> None:
    assert type(start(torch.device("cpu"))) is Engine


STATE: dict[str, Any] = {"a": torch.arange(6).reshape(2, 3), "b": [1, "x", None], "c": np.zeros(2), "d": {"e": (1.5,)}}


def test_a_fingerprint_is_that_of_every_bit() -> None:
    same = {"a": torch.arange(6).reshape(2, 3), "b": [1, "x", None], "c": np.zeros(2), "d": {"e": (1.5,)}}
    assert fingerprint(STATE) == fingerprint(same) and 0 <= fingerprint(STATE) < 2**63


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.arange(6).reshape(2, 3).float()},
        {"a": torch.tensor([[0, 1, 2], [3, 4, 6]])},
        {"b": [1, "x", 0]},
        {"b": [1, "x"]},
        {"c": np.zeros(3)},
        {"d": {"f": (1.5,)}},
        {"d": {"e": (1.5000001,)}},
    ],
)
def test_another_fingerprint_is_that_of_something_else(other: dict[str, Any]) -> None:
    assert fingerprint(STATE | other) != fingerprint(STATE)


def test_rows_are_dealt_out_and_come_back_at_their_places() -> None:
    """Of two batches that stand one after another, 5 and 2 rows, dealt to three processes."""
    batches = torch.arange(10.0).reshape(5, 2), torch.arange(10.0, 14.0).reshape(2, 2)

    def work(ranks: Ranks) -> tuple[list[Tensor], Tensor, Tensor | None]:
        own = [ranks.share(batch) for batch in batches]
        mine = torch.cat(own).requires_grad_()
        gathered = ranks.gather(mine, ranks.parts(5) + ranks.parts(2))
        gathered.backward(torch.arange(14.0).reshape(7, 2))  # type: ignore[no-untyped-call]
        assert ranks.gather(mine, ()) is mine
        return own, gathered.detach(), mine.grad

    done = together(3, work)
    assert [[len(block) for block in own] for own, _, _ in done] == [[2, 1], [2, 1], [1, 0]]
    assert torch.equal(done[1][0][0], batches[0][[1, 4]])
    for _, gathered, _ in done:
        assert torch.equal(gathered, torch.cat(batches))
    gradient = torch.arange(14.0).reshape(7, 2)
    assert done[0][2] is not None and torch.equal(done[0][2], 3 * gradient[[0, 3, 5]])  # the mean over three is its own
    assert done[2][2] is not None and torch.equal(done[2][2], 3 * gradient[[2]])


def test_a_total_is_of_all_and_sends_its_gradient_to_all() -> None:
    def work(ranks: Ranks) -> tuple[float, float]:
        mine = torch.tensor(float(ranks.rank + 1), requires_grad=True)
        total = ranks.total(mine)
        (total * (ranks.rank + 1)).backward()  # type: ignore[no-untyped-call]
        assert mine.grad is not None
        return total.item(), mine.grad.item()

    assert together(3, work) == [(6.0, 6.0)] * 3  # 1 + 2 + 3 both ways


def test_tensors_of_all_are_averaged_in_place() -> None:
    def work(ranks: Ranks) -> list[list[float]]:
        tensors = [torch.full((2, 2), float(ranks.rank)), torch.tensor([1.0 + ranks.rank], requires_grad=True)]
        ranks.average(tensors)
        return [tensor.detach().flatten().tolist() for tensor in tensors]

    assert together(4, work) == [[[1.5] * 4, [2.5]]] * 4


def test_the_largest_number_is_everybodys_and_whoever_waits_waits_for_all() -> None:
    order: list[str] = []

    def work(ranks: Ranks) -> int:
        with ranks.one_ahead():
            order.append("first" if ranks.rank == 0 else "others")
        ranks.wait()
        return ranks.largest(ranks.rank**2 - 5)

    assert together(3, work) == [-1] * 3 and order == ["first", "others", "others"]


def test_the_first_alone_acts_and_its_error_is_everybodys() -> None:
    acted: list[int] = []

    def work(ranks: Ranks) -> str:
        def act() -> str:
            acted.append(ranks.rank)
            return "done"

        def fail() -> None:
            raise UsageError("Expected something else.")

        assert ranks.first(act) == ("done" if ranks.rank == 0 else None)
        with pytest.raises(UsageError, match="Expected something else") as error:
            ranks.first(fail)
        return str(error.value)

    assert together(3, work) == ["Expected something else."] * 3 and acted == [0]


def test_what_has_drifted_apart_is_named_everywhere() -> None:
    def work(ranks: Ranks) -> str:
        alike = {"weights": torch.ones(3), "memory": [1, {"a": 2}]}
        ranks.check_alike(alike, "after task 1")
        with pytest.raises(ClbenchError) as error:
            ranks.check_alike({**alike, "draws": torch.tensor(ranks.rank == 2), "more": ranks.rank}, "after task 2")
        return str(error.value)

    assert (
        together(3, work)
        == [
            "Expected the 3 processes of this run to have the same draws after task 2 but they have drifted apart; run "
            "it as one process, or mend what decides otherwise in each."
        ]
        * 3
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Case -> what two or three processes came to beside one."""

    def make(folder: Path) -> None:
        script = Path(__file__).parents[1] / "helpers" / "shared_runs.py"
        with open(folder / "cases.jsonl", "w") as out:
            subprocess.run([sys.executable, script], check=True, stdout=out)

    lines = (once(tmp_path_factory, "shared-runs", make) / "cases.jsonl").read_text().splitlines()
    return {name: case for line in lines for name, case in json.loads(line).items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_several_processes_are_one_but_for_rounding(found: dict[str, dict[str, Any]], name: str) -> None:
    case, single = found[name], CASES[name][2] in SINGLE
    assert case["dtype"] == f"torch.float{32 if single else 64}"
    assert case["moved"] > 1e-3
    assert case["apart"] < (1e-6 if single else 1e-8 if "adam" in name else 1e-12)
    for alone, shared in (case["counts"], case["memory"], case["logits"]):
        assert alone == shared
    assert case["angle"][1] == pytest.approx(case["angle"][0], abs=1e-6)
    np.testing.assert_allclose(case["by_positives"][1], case["by_positives"][0], atol=1e-5)


def test_every_strategy_that_is_not_refused_and_every_memory_is_among_them() -> None:
    strategies = [name for name, plugin in plugins.available("strategy").items() if ours(plugin) and not plugin.missing]
    assert {case[2] for case in CASES.values()} == {s for s in strategies if plugins.load("strategy", s).shareable}
    memories = {name for name, plugin in plugins.available("memory").items() if ours(plugin)}
    assert {case[4].get("memory", "reservoir") for case in CASES.values()} == memories


def ours(plugin: plugins.Plugin) -> bool:
    return plugin.module.startswith(("strategies.", "clbench."))
