"""Reads what the model takes of samples, pixels or maps, and puts everything on the device."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from clbench.arrays import IntArray
from clbench.data.collection import ImageSource
from clbench.learning.batch import Batch, Origin, note_origin
from clbench.learning.engine import Engine
from clbench.scenario.samples import Samples

WORKERS = 2
"""Threads that decode images ahead, by default."""
AHEAD = 2
"""Batches whose images are read before they are asked for."""
KEPT_BYTES = 2 * 10**9
"""A memory whose decoded images take more is decoded again at each replay."""


class Loader:
    """Reads the pixels of samples and puts everything on the device.

    Where images are decoded from files, threads read those of the next batches while one is learned, and those of the
    memory are kept decoded, so that a replayed image is decoded once. What is read does not depend on either.
    """

    def __init__(
        self, images: ImageSource, device: torch.device, workers: int = 0, engine: Engine | None = None
    ) -> None:
        """workers: threads that read; 0 reads everything when it is asked for, as does an image source in memory.
        engine: shares out what is read.
        """
        self._images, self._device, self._engine = images, device, engine or Engine()
        self._threads = ThreadPoolExecutor(workers, "clbench-images") if workers and images.decodes else None
        self._ahead: dict[int, Future[Tensor]] = {}
        self._kept: dict[int, Future[Tensor]] = {}
        self._memory: frozenset[int] = frozenset()

    def __call__(self, samples: Samples, whole: bool = False) -> Batch:
        """A batch of these samples. whole: with the inputs of all of them, where several processes share the run."""
        return Batch(
            self._whole(samples.indices) if whole else self.inputs(samples.indices),
            self.on_device(torch.from_numpy(samples.labels.astype(np.float32))),
            self.on_device(torch.tensor(samples.known)),
            samples,
            parts=() if whole else self._engine.parts(len(samples)),
        )

    @property
    def image_bytes(self) -> int:
        """Bytes of one image as it is stored: uint8 (3, S, S)."""
        return 3 * self._images.size**2

    def inputs(self, indices: IntArray) -> Tensor:
        """What the model takes of these images (B,): uint8 (b, 3, S, S), or float16 (b, D, H, W), on the device.

        b is B, or this process's share of it.
        """
        inputs = self.on_device(self._read(self._engine.share(indices)))
        if parts := self._engine.parts(len(indices)):
            note_origin(inputs, Origin(len(indices), parts=parts))
        return inputs

    def _whole(self, indices: IntArray) -> Tensor:
        inputs = self.on_device(self._read(indices))
        note_origin(inputs, Origin(len(indices), whole=True))
        return inputs

    def read_from(self, images: ImageSource) -> None:
        """From now on read from another source of the same images, such as the maps of a frozen backbone."""
        self._images = images
        self._ahead, self._kept = {}, {}
        if not images.decodes:
            self._threads = None

    def ahead(self, batches: Iterable[Samples]) -> Iterator[Samples]:
        """The same batches; the images of the next ones are read meanwhile."""
        if self._threads is None:
            yield from batches
            return
        waiting: deque[Samples] = deque()
        for samples in batches:
            for index in self._engine.share(samples.indices).tolist():
                self._ahead[index] = self._future(index)
            waiting.append(samples)
            if len(waiting) > AHEAD:
                yield waiting.popleft()
        yield from waiting

    def keep(self, indices: IntArray) -> None:
        """Say which images a memory holds, so that they stay decoded; all others need not."""
        if self._threads is None:
            return
        fits = len(indices) * self.image_bytes <= KEPT_BYTES
        self._memory = frozenset(indices.tolist() if fits else ())
        self._kept = {index: pixels for index, pixels in self._kept.items() if index in self._memory}

    def _read(self, indices: IntArray) -> Tensor:
        if self._threads is None:
            return self._images.read(indices)
        futures = {index: self._future(index) for index in indices.tolist()}
        pixels = torch.stack([futures[index].result() for index in indices.tolist()])
        for index in futures:
            self._ahead.pop(index, None)
        self._kept = {index: kept for index, kept in self._kept.items() if index in self._memory} | futures
        return pixels

    def _future(self, index: int) -> Future[Tensor]:
        """An image's pixels (3, S, S), read already, being read, or about to be."""
        assert self._threads is not None
        known = self._kept.get(index) or self._ahead.get(index)
        return known or self._threads.submit(lambda: self._images.read(np.array([index]))[0])

    def on_device(self, tensor: Tensor) -> Tensor:
        """A tensor of the CPU on the run's device, without waiting for it."""
        if self._device.type == "cuda":  # through pinned memory, so that copies overlap with the running step
            return tensor.pin_memory().to(self._device, non_blocking=True)
        return tensor.to(self._device)
