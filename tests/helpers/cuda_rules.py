"""What CUDA refuses and where it makes the host wait, operation by operation; a refusal is in PyTorch's words.

From PyTorch's sources: Copy.cu and Indexing.cu of aten/src/ATen/native/cuda, Fill.cpp, Memory.cpp and
TensorAdvancedIndexing.cpp of aten/src/ATen/native, c10/cuda/CUDAFunctions.h, and python_variable_indexing.cpp of
torch/csrc/autograd.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

TWO_DEVICES = "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!"
FOREIGN_INDEX = "indices should be either on cpu or on the same device as the indexed tensor (cpu)"
FOREIGN_GENERATOR = "Expected a 'cuda' device type for generator but found 'cpu'"
FOREIGN_GRADIENT = "assigned grad has data of a different type"
NO_NUMPY = "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
NO_PINNING = "cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned"

MASKS = (torch.bool, torch.uint8)
_aten = torch.ops.aten
_INDEXING = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default, _aten._index_put_impl_.default}
_FILLING = {_aten.masked_fill.Tensor, _aten.masked_fill_.Tensor}
_READING_TAGS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
"""PyTorch's tags for operations whose result, or its shape, is known only after a look at the numbers."""


class Storages:
    """A set of tensors; those that share their storage are in it together."""

    def __init__(self) -> None:
        self._known: dict[int, StorageWeakRef] = {}  # a weak reference keeps an address from being used again
        self._limit = 10_000

    def __contains__(self, tensor: object) -> bool:
        return isinstance(tensor, Tensor) and tensor.untyped_storage()._cdata in self._known

    def put(self, tensor: Tensor, inside: bool) -> None:
        """Take a tensor's storage in, or out."""
        storage = tensor.untyped_storage()
        if not inside:
            self._known.pop(storage._cdata, None)
        elif storage._cdata not in self._known:
            self._known[storage._cdata] = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
        if len(self._known) > self._limit:
            self._known = {key: ref for key, ref in self._known.items() if not ref.expired()}  # type: ignore[no-untyped-call]
            self._limit = 2 * len(self._known) + 10_000


def tensors(value: object) -> list[Tensor]:
    """All tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for item in items for tensor in tensors(item)]


def waits(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], there: Storages, pinned: Storages) -> int:
    """How often the host waits in an operation of which at least one tensor is on the device.

    func: an `OpOverload` of aten. there: what is on the device. pinned: what is in pinned memory of the host.
    Raises RuntimeError for what CUDA refuses.
    """
    if func in _INDEXING:
        return _index_waits(func, there, *args, **kwargs)
    if func is _aten.copy_.default:
        return _copy_waits(there, pinned, *args, **kwargs)
    if func is _aten.fill_.Tensor:  # takes its value from wherever it is, as a number
        return int(args[0] not in there)
    _refuse_mix(func, args, [tensor for tensor in tensors((args, kwargs)) if tensor not in there])
    if kwargs.get("generator") is not None:
        raise RuntimeError(FOREIGN_GENERATOR)
    if func in _FILLING:  # the kernel takes the value as a number
        return int(args[2] in there)
    if func is _aten.repeat_interleave.Tensor:
        return int(kwargs.get("output_size") is None)
    return int(func is _aten._linalg_check_errors.default or bool(_READING_TAGS.intersection(func.tags)))


def _refuse_mix(func: Any, args: Sequence[Any], here: list[Tensor]) -> None:
    """No tensor of the CPU goes with one of the device, but for single numbers in pointwise operations."""
    written_here = func._schema.is_mutable and any(args[0] is tensor for tensor in here)
    numbers_may = torch.Tag.pointwise in func.tags and not written_here
    if any(tensor.ndim or not numbers_may for tensor in here):
        raise RuntimeError(f"{TWO_DEVICES} ({func})")


def _index_waits(
    func: Any,
    there: Storages,
    tensor: Tensor,
    indices: Sequence[Tensor | None],
    values: Tensor | None = None,
    accumulate: bool = False,
    unsafe: bool = False,
) -> int:
    """Indices on the CPU are copied to the device; of a mask, the host must know how many entries are True."""
    given = [index for index in indices if index is not None]
    if tensor not in there and any(index in there for index in given):
        raise RuntimeError(FOREIGN_INDEX)
    foreign = values is not None and (values in there) != (tensor in there)
    if foreign and values is not None and values.ndim:
        raise RuntimeError(f"{TWO_DEVICES} ({func})")
    if foreign and not accumulate and len(given) == 1 and given[0].dtype in MASKS and given[0] in there:
        return 0  # one mask and one number: PyTorch makes a masked_fill_ of it
    copied_or_counted = [index for index in given if index not in there or index.dtype in MASKS]
    return foreign + (len(copied_or_counted) if tensor in there else 0)


def _copy_waits(there: Storages, pinned: Storages, target: Tensor, source: Tensor, non_blocking: bool = False) -> int:
    """Only pinned memory is read and written by the device itself."""
    if (target in there) == (source in there):
        return 0
    return int(not (non_blocking and (source if target in there else target) in pinned))
