"""The rules of the pretended device, against PyTorch's own: its fake tensors, and CUDA where there is one."""

import copy
import gc
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cuda_rules import NO_NUMPY, NO_PINNING, TWO_DEVICES, Storages, tensors
from pretended_cuda import CUDA, PretendedCuda
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode


class Given(NamedTuple):
    """What a case is made of; those that begin with `cpu` are on the CPU, and all others on the device."""

    x: Tensor  # (2, 3)
    scalar: Tensor
    rows: Tensor  # int64
    mask: Tensor  # (2, 3), bool
    cpu: Tensor  # (2, 3)
    cpu_scalar: Tensor
    cpu_rows: Tensor
    cpu_mask: Tensor


def given() -> Given:
    x, rows = torch.ones(2, 3, device=CUDA), torch.arange(2, device=CUDA)
    cpu = torch.ones(2, 3)
    return Given(x, x.sum(), rows, x > 0, cpu, cpu.sum(), torch.arange(2), cpu > 0)


def put(tensor: Tensor, index: Any, value: Any) -> Tensor:
    tensor[index] = value
    return tensor


REFUSED, UNKNOWN = "refused", "unknown"
Case = tuple[Callable[[Given], Any], str, int]
"""What is done; what device the result is on, or REFUSED; how often the host waits."""

CASES: dict[str, Case] = {
    "sum of two devices": (lambda g: g.x + g.cpu, REFUSED, 0),
    "product with a number on the CPU": (lambda g: g.x * g.cpu_scalar, "cuda", 0),
    "where with a number on the CPU": (lambda g: torch.where(g.mask, g.x, g.cpu_scalar), "cuda", 0),
    "written into the CPU": (lambda g: g.cpu.add_(g.x), REFUSED, 0),
    "written into a number of the CPU": (lambda g: g.cpu_scalar.add_(g.scalar), REFUSED, 0),
    "stacked with a number of the CPU": (lambda g: torch.stack([g.scalar, g.cpu_scalar]), REFUSED, 0),
    "number of the device added to the CPU": (lambda g: g.cpu + g.scalar, REFUSED, 0),
    "concatenated": (lambda g: torch.cat([g.x, g.cpu]), REFUSED, 0),
    "multiplied": (lambda g: g.x @ g.cpu.T, REFUSED, 0),
    "weights on the CPU": (lambda g: F.linear(g.x, g.cpu), REFUSED, 0),
    "targets on the CPU": (lambda g: F.binary_cross_entropy_with_logits(g.x, g.cpu), REFUSED, 0),
    "running means on the CPU": (lambda g: F.batch_norm(g.x, g.cpu[0], g.cpu[1], training=True), REFUSED, 0),
    "gathered by the CPU": (lambda g: g.x.index_select(0, g.cpu_rows), REFUSED, 0),
    "filled by a mask of the CPU": (lambda g: g.x.masked_fill(g.cpu_mask, 0.0), REFUSED, 0),
    "filled by a mask": (lambda g: g.x.masked_fill(g.mask, 0.0), "cuda", 0),
    "filled by a mask with a tensor": (lambda g: g.x.masked_fill(g.mask, g.scalar), "cuda", 1),
    "filled with a number of the CPU": (lambda g: g.x.fill_(g.cpu_scalar), "cuda", 0),
    "CPU filled with a number of the device": (lambda g: g.cpu.fill_(g.scalar), "cpu", 1),
    "copied to the CPU": (lambda g: g.cpu.copy_(g.x), "cpu", 1),
    "copied from the CPU": (lambda g: g.x.copy_(g.cpu), "cuda", 1),
    "to the CPU": (lambda g: g.x.cpu(), "cpu", 1),
    "to the CPU without blocking": (lambda g: g.x.to("cpu", non_blocking=True), "cpu", 0),
    "from the CPU": (lambda g: g.cpu.to(CUDA), "cuda", 1),
    "from the CPU to where another is": (lambda g: g.cpu.to(g.x), "cuda", 1),
    "to another dtype": (lambda g: g.x.to(torch.float64), "cuda", 0),
    "from a list": (lambda g: torch.tensor([1.0], device=CUDA), "cuda", 1),
    "from a list, as another": (lambda g: g.x.new_tensor([1.0]), "cuda", 1),
    "made on the device": (lambda g: torch.zeros(3, device=CUDA), "cuda", 0),
    "made like another": (lambda g: torch.zeros_like(g.x), "cuda", 0),
    "made like another, on the CPU": (lambda g: torch.zeros_like(g.x, device="cpu"), "cpu", 0),
    "indexed by rows": (lambda g: g.x[g.rows], "cuda", 0),
    "indexed by a number": (lambda g: g.x[0], "cuda", 0),
    "indexed by rows of the CPU": (lambda g: g.x[g.cpu_rows], "cuda", 1),
    "indexed by a list": (lambda g: g.x[[0, 1]], "cuda", 1),
    "indexed by two lists": (lambda g: g.x[[0, 1], [0, 1]], "cuda", 2),
    "indexed by a mask": (lambda g: g.x[g.mask], "cuda", 1),
    "CPU indexed by rows": (lambda g: g.cpu[g.rows], REFUSED, 0),
    "number put at a row": (lambda g: put(g.x, 0, 1.0), "cuda", 0),
    "number put at one place": (lambda g: put(g.x, (0, 0), 1.0), "cuda", 1),
    "number put at a list": (lambda g: put(g.x, [0, 1], 1.0), "cuda", 2),
    "number put at rows": (lambda g: put(g.x, g.rows, 1.0), "cuda", 1),
    "number put at a mask": (lambda g: put(g.x, g.mask, 1.0), "cuda", 0),
    "tensor put at a mask": (lambda g: put(g.x, g.mask, g.scalar), "cuda", 1),
    "values of the CPU put at rows": (lambda g: put(g.x, g.rows, g.cpu), REFUSED, 0),
    "item": (lambda g: g.x.sum().item(), "cpu", 1),
    "nonzero": (lambda g: g.x.nonzero(), "cuda", 1),
    "masked_select": (lambda g: g.x.masked_select(g.mask), "cuda", 1),
    "unique": (lambda g: g.rows.unique(), "cuda", 1),  # type: ignore[no-untyped-call]
    "bincount": (lambda g: g.rows.bincount(), "cuda", 1),
    "repeated": (lambda g: g.rows.repeat_interleave(g.rows), "cuda", 1),
    "repeated, with the size": (lambda g: g.rows.repeat_interleave(g.rows, output_size=1), "cuda", 0),
    "sorted": (lambda g: g.x.sort().values, "cuda", 0),
    "a quantile, which makes tensors within": (lambda g: g.x.quantile(0.5), "cuda", 0),
    "a mean along an axis": (lambda g: g.x.mean(0), "cuda", 0),
}

FAKES_ARE_MILDER = {"CPU indexed by rows", "stacked with a number of the CPU"}
FAKES_ARE_STRICTER = {"CPU filled with a number of the device"}
"""Fake tensors are for compiled code, and not in everything as CUDA is."""


def outcome(name: str, arguments: Given) -> str:
    """The device of what a case gives; what is no tensor is on the CPU."""
    try:
        result = CASES[name][0](arguments)
    except (DataDependentOutputException, DynamicOutputShapeException):
        return UNKNOWN
    except RuntimeError:
        return REFUSED
    return str(result.device.type) if isinstance(result, Tensor) else "cpu"


@pytest.mark.parametrize("name", CASES)
def test_a_rule(name: str) -> None:
    with PretendedCuda() as cuda:
        arguments = given()
        cuda.waits.clear()
        assert (outcome(name, arguments), len(cuda.waits)) == CASES[name][1:]


@pytest.mark.parametrize("name", sorted(CASES.keys() - FAKES_ARE_MILDER - FAKES_ARE_STRICTER))
def test_a_rule_is_that_of_pytorch_s_fake_tensors(name: str) -> None:
    _, expected, waits = CASES[name]
    with FakeTensorMode():
        got = outcome(name, given())
    assert got == expected or (got == UNKNOWN and waits), "what hangs on the numbers is known only after a wait"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_rules_are_those_of_cuda() -> None:
    for name, (_, expected, waits) in CASES.items():
        arguments = given()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            got = outcome(name, arguments)
            torch.cuda.set_sync_debug_mode("default")
        waited = any("synchronizing CUDA operation" in str(warning.message) for warning in caught)
        assert (got, waited) == (expected, waits > 0), name


def test_numpy_and_pinning_are_refused_on_the_device() -> None:
    with PretendedCuda():
        x = torch.ones(2, device=CUDA)
        for read in (Tensor.numpy, np.asarray):
            with pytest.raises(TypeError, match=NO_NUMPY.partition(" Use")[0]):
                read(x)
        with pytest.raises(RuntimeError, match=NO_PINNING):
            x.pin_memory()
        assert x.cpu().numpy().tolist() == [1.0, 1.0]


def test_pinned_memory_is_copied_without_a_wait() -> None:
    with PretendedCuda() as cuda:
        x, pageable = torch.zeros(2, device=CUDA), torch.ones(2)
        for pinned in (pageable.pin_memory(), torch.ones(2, pin_memory=True), x.to("cpu", non_blocking=True)):
            pinned.to(CUDA, non_blocking=True)
            x.copy_(pinned, non_blocking=True)
            pinned.copy_(x, non_blocking=True)
        assert not cuda.waits
        pinned.to(CUDA)
        pageable.to(CUDA, non_blocking=True)
        assert [wait.what for wait in cuda.waits] == ["copy to the device"] * 2
        x.copy_(pinned)
        x.copy_(pageable, non_blocking=True)
    assert [wait.what for wait in cuda.waits[2:]] == ["aten.copy_.default"] * 2


def test_a_copy_shares_nothing_and_its_gradient_goes_back() -> None:
    with PretendedCuda():
        weight = torch.ones(2, requires_grad=True)
        copied = weight.to(CUDA)
        with torch.no_grad():
            copied += 1
        (copied**2).sum().backward()  # type: ignore[no-untyped-call]
        assert weight.grad is not None and weight.grad.device.type == "cpu"
        for source in (np.ones(2, np.float32), torch.ones(2)):
            torch.as_tensor(source, device=CUDA).zero_()
            assert source.sum() == 2
        leaf = torch.tensor([1.0, 1.0], device=CUDA, requires_grad=True)
        assert leaf.is_leaf and leaf.requires_grad and leaf.is_cuda
        with pytest.raises(RuntimeError, match="assigned grad"):
            leaf.grad = torch.ones(2)
        images = torch.ones(1, 2, 3, 3).to(CUDA, memory_format=torch.channels_last)
        assert images.is_contiguous(memory_format=torch.channels_last)
    assert weight.tolist() == [1, 1] and weight.grad.tolist() == [4, 4]


def test_what_belongs_together_stays_on_its_device() -> None:
    with PretendedCuda() as cuda:
        model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).to(CUDA)
        cuda.waits.clear()
        twin = copy.deepcopy(model)
        optimizer = torch.optim.Adam(twin.parameters(), fused=True)
        twin(torch.ones(3, 2, device=CUDA)).sum().backward()
        optimizer.step()
        moments = [value for state in optimizer.state.values() for value in state.values()]
        everything = [*model.state_dict().values(), *twin.state_dict().values(), *moments]
        assert len(everything) == 26 and all(tensor.is_cuda and tensor.device == CUDA for tensor in everything)
        assert all(parameter.grad is not None and parameter.grad.is_cuda for parameter in twin.parameters())
        assert not cuda.waits
        with pytest.raises(RuntimeError, match=TWO_DEVICES):
            model(torch.ones(3, 2))


def test_outside_there_is_no_such_device() -> None:
    before = torch.cuda.is_available()
    with PretendedCuda():
        assert torch.cuda.is_available() and torch.ones(1, device="cuda").is_cuda
    assert torch.cuda.is_available() == before


def test_a_freed_storage_is_forgotten_and_its_address_is_not_taken_for_it() -> None:
    storages = Storages()
    for _ in range(30_000):
        storages.put(torch.ones(1), True)
    gc.collect()
    assert len(storages._known) < 20_001
    assert not any(torch.ones(1) in storages for _ in range(1_000))
    assert [len(tensors(value)) for value in ([torch.ones(1), {"a": (torch.ones(1), 2)}], None, "text")] == [2, 0, 0]
