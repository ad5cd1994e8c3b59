from collections.abc import Iterator

import pytest
import torch

from clbench.errors import UsageError
from clbench.learning.engine import choose_device, deterministic
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
