"""A pretended CUDA device: all is computed on the CPU, to the bit, but every tensor has the device it would be on.

    with PretendedCuda() as cuda:
        strategy = build_strategy(prepared, 0, torch.device("cuda"))
        ...
    cuda.waits  # each time that the host would have waited for the device: for what, and where

What CUDA refuses is refused, in PyTorch's words. It knows the rules of `cuda_rules` and no others: not a GPU's kernels,
bits, streams, speed or memory, no CUDA generators, no autocast, no compiled code, and no Python that runs within a
backward pass (hooks). Where an operation goes another way on CUDA than on the CPU, it sees the CPU's. What passes here
has its tensors where they belong; nothing here has run on a GPU.
"""

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple
from unittest.mock import patch

import cuda_rules
import torch
from cuda_rules import FOREIGN_GENERATOR, FOREIGN_GRADIENT, NO_NUMPY, NO_PINNING, Storages, tensors
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
FROM_DATA = (torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor)
ANSWERS = {
    "is_available": True,
    "device_count": 1,
    "get_device_name": "pretended",
    "max_memory_allocated": 0,
    "get_rng_state": torch.zeros(16, dtype=torch.uint8),
    "set_rng_state": None,
    "is_current_stream_capturing": False,
}
"""Functions of `torch.cuda` -> what they say."""
HIDDEN = (str(Path(torch.__file__).parent), __file__)
"""Whose frames do not say where a wait comes from."""

Target = tuple[torch.device | None, torch.dtype | None, bool, torch.memory_format | None]
"""Device, dtype, non_blocking and memory format."""


class Wait(NamedTuple):
    """The host waits for the device. within: the names of the functions that it does so in, from the inside out."""

    what: str
    where: str
    within: tuple[str, ...]


class PretendedCuda:
    """While it is entered there is a CUDA device; see the module's docstring.

    waits: what has made the host wait; may be cleared.
    there, pinned: what is on the device, and what is in pinned memory of the host.
    """

    def __init__(self) -> None:
        self.waits: list[Wait] = []
        self.there, self.pinned = Storages(), Storages()
        self.at_work = False
        """Whether PyTorch is in a function on tensors of the device."""
        self._stack = ExitStack()

    def __enter__(self) -> "PretendedCuda":
        replaced = {name: lambda *args, _answer=answer, **kwargs: _answer for name, answer in ANSWERS.items()}
        replaced["synchronize"] = lambda *args, **kwargs: self.wait("torch.cuda.synchronize")
        for name, answering in replaced.items():
            self._stack.enter_context(patch.object(torch.cuda, name, answering))
        # Optimisers ask the real accelerator whether it is capturing a graph.
        self._stack.enter_context(patch.object(torch.accelerator, "current_accelerator", lambda *args, **kwargs: None))
        self._stack.enter_context(_Operations(self))
        self._stack.enter_context(_Functions(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def wait(self, what: str) -> None:
        """Note that the host waits here."""
        frames: list[FrameType] = []
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if not frame.f_code.co_filename.startswith(HIDDEN):
                frames.append(frame)
            frame = frame.f_back
        where = f"{Path(frames[0].f_code.co_filename).name}:{frames[0].f_lineno}"
        self.waits.append(Wait(what, where, tuple(frame.f_code.co_name for frame in frames)))

    def moved(self, tensor: Tensor, there: bool, non_blocking: bool = False) -> Tensor:
        """A copy on the other device."""
        # Only pinned memory is read and written by the device itself; for the way back PyTorch pins the copy.
        if not non_blocking or (there and tensor not in self.pinned):
            self.wait("copy to the device" if there else "copy to the CPU")
        copied: Tensor = _Copy.apply(tensor, self.there, there)
        self.pinned.put(copied, non_blocking and not there)
        return copied


class _Copy(torch.autograd.Function):
    """A copy on the other device; its gradient goes back to where the tensor is."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, storages: Storages, there: bool) -> Tensor:
        ctx.storages, ctx.there = storages, there
        copied = tensor.clone()
        storages.put(copied, there)
        return copied

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        copied = gradients[0].clone()
        ctx.storages.put(copied, not ctx.there)
        return copied, None, None


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Holds every operation to CUDA's rules; what it gives is on the device that its tensors are on."""

    def __init__(self, cuda: PretendedCuda) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._cuda = cuda

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, there = kwargs or {}, self._cuda.there
        taken = list(tensors((args, kwargs)))
        here = [tensor for tensor in taken if tensor not in there]
        if len(here) < len(taken):
            for _ in range(cuda_rules.waits(func, args, kwargs, there, self._cuda.pinned)):
                self._cuda.wait(str(func))
        # An operation without tensors makes one; within a function on tensors of the device it is meant for it.
        goes_there = len(here) < len(taken) or (not taken and self._cuda.at_work)
        out = func(*args, **kwargs)
        for made in tensors(out) if goes_there else ():
            if all(made is not tensor for tensor in here):  # what is written into stays where it is
                there.put(made, True)
        return out


class _Functions(TorchFunctionMode):
    """What Python asks of a tensor's device; tensors that are made on the device or go to it."""

    def __init__(self, cuda: PretendedCuda) -> None:
        super().__init__()
        self._cuda = cuda
        self._methods = {
            "__get__": self._attribute,
            "__set__": self._set_attribute,
            "to": self._to,
            "cpu": self._to,
            "cuda": self._to,
            "numpy": self._numpy,
            "__array__": self._numpy,
            "tolist": self._read,
            "__repr__": self._read,
            "pin_memory": self._pin_memory,
            "__deepcopy__": self._deepcopy,
        }

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if args and isinstance(args[0], Tensor) and name in self._methods:
            return self._methods[name](func, *args, **kwargs)
        if func in FROM_DATA:
            return self._from_data(func, *args, **kwargs)
        if kwargs.get("device") is not None or kwargs.get("pin_memory"):
            return self._made(func, *args, **kwargs)
        return self._done(func, args, kwargs)

    def _done(self, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        before = self._cuda.at_work
        self._cuda.at_work = any(tensor in self._cuda.there for tensor in tensors((args, kwargs)))
        try:
            return func(*args, **kwargs)
        finally:
            self._cuda.at_work = before

    def _attribute(self, func: Any, tensor: Tensor, *args: Any) -> Any:
        there = tensor in self._cuda.there
        answers = {"device": CUDA if there else CPU, "is_cuda": there, "is_cpu": not there}
        name = func.__self__.__name__
        return answers[name] if name in answers else func(tensor, *args)

    def _set_attribute(self, func: Any, tensor: Tensor, value: Any) -> None:
        if func.__self__.__name__ == "grad" and isinstance(value, Tensor):
            if (tensor in self._cuda.there) != (value in self._cuda.there):
                raise RuntimeError(FOREIGN_GRADIENT)
        func(tensor, value)

    def _to(self, func: Any, tensor: Tensor, *args: Any, copy: bool = False, **kwargs: Any) -> Tensor:
        was = tensor in self._cuda.there
        device, dtype, non_blocking, memory_format = self._target(func.__name__, *args, **kwargs)
        there = was if device is None else device.type == "cuda"
        if there != was:
            tensor, copy = self._cuda.moved(tensor, there, non_blocking), False
        if memory_format is None:
            return tensor.to(dtype or tensor.dtype, copy=copy)
        return tensor.to(dtype or tensor.dtype, copy=copy, memory_format=memory_format)

    def _target(self, name: str, *args: Any, **kwargs: Any) -> Target:
        """What a call of `to`, `cpu` or `cuda` asks for."""
        if name != "to":
            return torch.device(name), None, bool(kwargs.get("non_blocking")), kwargs.get("memory_format")
        other = args[0] if args else kwargs.pop("other", None)
        if isinstance(other, Tensor):
            args = (CUDA if other in self._cuda.there else CPU, other.dtype, *args[1:])
        target: Target = torch._C._nn._parse_to(*args, **kwargs)
        return target

    def _numpy(self, func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        if tensor in self._cuda.there and not kwargs.get("force"):
            raise TypeError(NO_NUMPY)
        return self._read(func, tensor, *args, **kwargs)

    def _read(self, func: Any, tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        if tensor in self._cuda.there:
            self._cuda.wait(func.__name__)
        return func(tensor, *args, **kwargs)

    def _pin_memory(self, func: Any, tensor: Tensor, *args: Any) -> Tensor:
        if tensor in self._cuda.there:
            raise RuntimeError(NO_PINNING)
        pinned = tensor.clone()
        self._cuda.pinned.put(pinned, True)
        return pinned

    def _deepcopy(self, func: Any, tensor: Tensor, memo: Any) -> Any:
        noted = len(self._cuda.waits)
        copied = func(tensor, memo)
        del self._cuda.waits[noted:]  # it is copied to a storage of which nothing was known yet
        return copied

    def _from_data(
        self, func: Any, *args: Any, device: Any = None, requires_grad: bool = False, **kwargs: Any
    ) -> Tensor:
        """A tensor of numbers or of an array: made on the CPU and copied from there. Tensors among them are read."""
        data = args[-1]
        if not isinstance(data, Tensor) and any(tensor in self._cuda.there for tensor in tensors(data)):
            self._cuda.wait(func.__name__)
        if device is None and func is Tensor.new_tensor:
            device = CUDA if args[0] in self._cuda.there else CPU
        made: Tensor = func(*args, **kwargs)
        there = made in self._cuda.there
        wanted = there if device is None else torch.device(device).type == "cuda"
        made = made if wanted == there else self._cuda.moved(made, wanted)
        return made.requires_grad_() if requires_grad else made

    def _made(self, func: Any, *args: Any, device: Any = None, pin_memory: bool = False, **kwargs: Any) -> Any:
        """What a function makes that is told where."""
        there = device is not None and torch.device(device).type == "cuda"
        if there and kwargs.get("generator") is not None:
            raise RuntimeError(FOREIGN_GENERATOR)
        made = self._done(func, args, kwargs if device is None else {**kwargs, "device": CPU})
        for tensor in tensors(made):
            if device is not None:
                self._cuda.there.put(tensor, there)
            if pin_memory:
                self._cuda.pinned.put(tensor, True)
        return made
