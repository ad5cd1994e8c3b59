"""On what and how a run computes: the device, what makes it repeat, and the processes that share it.

Several processes, started by torchrun, share one run so that it is the run of one process but for rounding. Each knows
the labels of every batch and loads the pixels of its share; the model joins the logits of all shares (`gather`), so
each process has the whole batch's loss; gradients are means over processes (`average`). All else, memory included, is
decided alike by each from labels and seeds, and is never sent.

Nothing else in clbench knows of torch.distributed: gloo on the CPU, NCCL on CUDA.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import cache, partial
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from clbench.errors import ClbenchError, UsageError
from clbench.learning.watch import LIMIT, Watch
from clbench.learning.world import World, world
from clbench.randomness import derive
from clbench.terminal import say, speak_up

T = TypeVar("T")
Rows = TypeVar("Rows", Tensor, np.ndarray[Any, Any])

MEETING = timedelta(minutes=5)
"""How long processes wait for each other to start."""
PATIENCE = timedelta(days=7)
"""How long one waits for what another does: computing all maps may take hours, and that it lives is watched."""


class Lost(ClbenchError):
    """Another process of the run has ended or does not answer: this one cannot go on."""


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one; of several processes that share a run each has one of its own.

    Raises:
        UsageError: a device that cannot be had.
    """
    numbered = re.fullmatch(r"cuda:(\d{1,4})", name, re.ASCII)
    if name not in ("auto", "cpu", "cuda") and not numbered:
        raise UsageError(f"Expected --device to be auto, cpu, cuda or cuda:N but got {name!r}.")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"Expected a CUDA device for --device {name} but found none; use --device cpu or auto.")
    if numbered and int(numbered[1]) >= torch.cuda.device_count():
        raise UsageError(
            f"Expected a CUDA device {name} but there are {torch.cuda.device_count()}, the first is cuda:0."
        )
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    here = world()
    if here.size > 1:
        return _own_device(here, name)
    return torch.device(name if numbered else "cuda")


def _own_device(here: World, name: str) -> torch.device:
    if name not in ("auto", "cuda"):
        raise UsageError(f"Expected --device cuda for {here.size} processes, each on its own, but got {name}.")
    if here.local >= torch.cuda.device_count():
        raise UsageError(
            f"Expected a CUDA device for each process but process {here.rank} is number {here.local + 1} of its "
            f"machine, which has {torch.cuda.device_count()}; use a smaller --nproc-per-node."
        )
    return torch.device("cuda", here.local)


def deterministic(seed: int, threads: int) -> None:
    """Seed torch's own generator (dropout), fix the threads, and ask CUDA for the algorithms that repeat."""
    torch.set_num_threads(threads)
    torch.manual_seed(derive(seed, "torch"))
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


class Engine:
    """One process, which shares a run with none: everything is here, and nothing is done to it.

    rank: number of this process, from 0; the first one alone writes and speaks. size: how many there are.
    """

    rank, size = 0, 1

    def __deepcopy__(self, memo: dict[int, Any]) -> "Engine":
        """A copy of a model is shared out as the model is."""
        return self

    def parts(self, count: int) -> tuple[int, ...]:
        """How a batch of so many samples is shared out, for `gather`; nothing where it is not."""
        return ()

    def share(self, rows: Rows) -> Rows:
        """This process's of some rows (B, …): (b, …)."""
        return rows

    def gather(self, rows: Tensor, parts: tuple[int, ...]) -> Tensor:
        """The rows (B, …) of all processes, each at its place, from this one's (b, …); gradients flow through.

        parts: the sizes of the batches that stand one after another in it and were shared out each by itself.
        """
        return rows

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, which gradients flow through."""
        return tensor

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Make each the mean over all processes, in place."""

    def largest(self, number: int) -> int:
        """Of all processes. Waits for them, not for the device."""
        return number

    def first(self, action: Callable[[], T]) -> T | None:
        """What an action gives that the first process alone does; None on the others, which wait for it.

        What clbench raises on purpose there is raised everywhere.
        """
        return action()

    def wait(self) -> None:
        """Until all processes are here."""

    def one_ahead(self) -> AbstractContextManager[None]:
        """What the first process does before the others, which find it done."""
        return nullcontext()

    def check_alike(self, parts: Mapping[str, Any], when: str) -> None:
        """That all processes have the same: name -> tensors, arrays and JSON values, in mappings and sequences.

        Raises:
            ClbenchError: they have drifted apart; says which part, and when.
        """

    def together(self) -> AbstractContextManager[None]:
        """A run: what is raised in it is told to the others, and one of them says it."""
        return nullcontext()

    def watched(self, lost: Callable[[Lost], None] = lambda _: None) -> AbstractContextManager[None]:
        """The part of a run in which no process goes on without the others, which are watched: see `LIMIT`.

        lost: called in another thread, just before this process is ended because it waits for one that is lost.
        """
        return nullcontext()


def start(device: torch.device) -> Engine:
    """The processes that share this one's runs, once they have met; met once in a process's life.

    Raises:
        ClbenchError: some of them did not come.
    """
    here = world()
    return Engine() if here.size == 1 else _met(here, device)


@cache
def _met(here: World, device: torch.device) -> "Ranks":
    try:
        return Ranks(here, device)
    except RuntimeError as error:
        raise ClbenchError(
            f"Expected {here.size} processes to meet at {os.environ['MASTER_ADDR']} but got: "
            f"{str(error).splitlines()[0]}; start all of them with torchrun."
        ) from error


class Ranks(Engine):
    """Several processes, by torch.distributed; every method that waits for the others raises `Lost`."""

    def __init__(self, here: World, device: torch.device) -> None:
        self.rank, self.size = here.rank, here.size
        store = next(rendezvous("env://", here.rank, here.size, timeout=MEETING))[0]
        board = store.clone()  # a connection of its own, since one that is used is locked
        board.set_timeout(timedelta(seconds=LIMIT))
        self._agreed: ClbenchError | None = None
        self._watch = Watch(board, self.rank, self.size)
        self._watch.start()
        if device.type == "cuda":
            torch.cuda.set_device(device)
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=self.rank, world_size=self.size, timeout=PATIENCE)

    def parts(self, count: int) -> tuple[int, ...]:
        return (count,)

    def share(self, rows: Rows) -> Rows:
        return rows[self.rank :: self.size]

    def gather(self, rows: Tensor, parts: tuple[int, ...]) -> Tensor:
        gathered: Tensor = _Gather.apply(rows, self, parts) if parts else rows
        return gathered

    def total(self, tensor: Tensor) -> Tensor:
        total: Tensor = _Total.apply(tensor, self)
        return total

    def average(self, tensors: Sequence[Tensor]) -> None:
        flat = self.summed(torch.cat([tensor.detach().flatten() for tensor in tensors])) / self.size
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.detach().copy_(part.view_as(tensor))

    def summed(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, the same bits on each; without gradients."""
        summed = tensor.detach().clone(memory_format=torch.contiguous_format)
        self._ask(dist.all_reduce, summed)
        return summed

    def largest(self, number: int) -> int:
        return int(self._largest([number])[0])

    def first(self, action: Callable[[], T]) -> T | None:
        result, told = None, list[ClbenchError | None]([None])
        if self.rank == 0:
            try:
                result = action()
            except ClbenchError as error:
                told = [error]
        self._ask(dist.broadcast_object_list, told, device=torch.device("cpu"))
        if told[0] is not None:
            self._agreed = told[0]
            raise told[0]
        return result

    def wait(self) -> None:
        self.largest(0)

    def check_alike(self, parts: Mapping[str, Any], when: str) -> None:
        mine = [fingerprint(value) for value in parts.values()]
        found = self._largest([*mine, *(-number for number in mine)]).tolist()
        drifted = [name for name, most, least in zip(parts, found, found[len(mine) :], strict=False) if most != -least]
        if drifted:
            raise ClbenchError(
                f"Expected the {self.size} processes of this run to have the same {drifted[0]} {when} but they have "
                "drifted apart; run it as one process, or mend what decides otherwise in each."
            )

    @contextmanager
    def one_ahead(self) -> Iterator[None]:
        if self.rank:
            self.wait()
        yield
        if not self.rank:
            self.wait()

    @contextmanager
    def together(self) -> Iterator[None]:
        try:
            yield
        except Lost:
            if self._watch.claim():
                speak_up()
            raise
        except Exception as error:
            if error is not self._agreed:
                self._watch.tell(f"process {self.rank} has ended: {str(error) or type(error).__name__}")
            if self.rank == 0:
                self._watch.claim()  # its own error says it
            raise

    def watched(self, lost: Callable[[Lost], None] = lambda _: None) -> AbstractContextManager[None]:
        return self._watch.watching(partial(self._give_up, lost))

    def _give_up(self, lost: Callable[[Lost], None], who: str) -> None:
        error = self._missing(who)
        lost(error)
        if self._watch.claim():
            speak_up()
            say(f"clbench: {error}")
        os._exit(error.exit_code)  # what waits for another process cannot be woken

    def _largest(self, numbers: Sequence[int]) -> Tensor:
        tensor = torch.tensor(numbers, dtype=torch.int64)
        self._ask(dist.all_reduce, tensor, op=dist.ReduceOp.MAX)
        return tensor

    def _ask(self, collective: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        try:
            collective(*arguments, **options)
        except RuntimeError as error:
            raise self._missing(self._watch.told() or "another one has ended") from error

    def _missing(self, who: str) -> Lost:
        return Lost(
            f"Expected all {self.size} processes of this run to go on but {who.rstrip('.')}; the same command goes on "
            "from the last checkpoint."
        )


class _Total(torch.autograd.Function):
    """A sum over processes: what depends on it on each of them sends its gradient back to all."""

    @staticmethod
    def forward(context: Any, tensor: Tensor, ranks: Ranks) -> Tensor:
        context.ranks = ranks
        return ranks.summed(tensor)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return context.ranks.summed(gradient), None


class _Gather(torch.autograd.Function):
    """Rows of all processes: a sum of blocks that are 0 but for a process's own rows.

    Each process has the loss of all rows, and gradients of parameters are means over processes: so that the mean is the
    loss's gradient, a row's counts as often as there are processes.
    """

    @staticmethod
    def forward(context: Any, rows: Tensor, ranks: Ranks, parts: tuple[int, ...]) -> Tensor:
        context.ranks, context.parts = ranks, parts
        every = rows.new_zeros((sum(parts), *rows.shape[1:]))
        own = [ranks.share(block) for block in torch.split(every, list(parts))]
        for place, part in zip(own, torch.split(rows, [len(place) for place in own]), strict=True):
            place.copy_(part)
        return ranks.summed(every)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        own = [context.ranks.share(block) for block in torch.split(gradient, list(context.parts))]
        return torch.cat(own) * context.ranks.size, None, None


def fingerprint(value: Any) -> int:
    """63 bits of tensors, arrays and JSON values, in mappings and sequences: the same for the same."""
    hashed = hashlib.blake2b(digest_size=8)
    _feed(hashed, value)
    return int.from_bytes(hashed.digest(), "big") >> 1


def _feed(hashed: "hashlib.blake2b", value: Any) -> None:
    if isinstance(value, Tensor):
        value = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    if isinstance(value, np.ndarray):
        hashed.update(f"{value.shape} {value.dtype}".encode() + value.tobytes())
    elif isinstance(value, Mapping):
        for key, item in value.items():
            hashed.update(f"{key}:".encode())
            _feed(hashed, item)
    elif isinstance(value, list | tuple):
        for item in value:
            _feed(hashed, item)
        hashed.update(f"{len(value)};".encode())
    else:
        hashed.update(repr(value).encode())
