import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from clbench.arrays import IntArray
from clbench.errors import DataError
from clbench.learning import loader as module
from clbench.learning.batch import Origin, origin_of
from clbench.learning.engine import Engine
from clbench.learning.loader import AHEAD, Loader
from clbench.scenario.samples import Samples

CPU = torch.device("cpu")


class Files:
    """Stands for image files: image i is all i; keeps who read what."""

    size, fingerprint, decodes, paths = 2, "made", True, ()

    def __init__(self) -> None:
        self.read_indices: list[int] = []
        self.threads: set[int] = set()

    def read(self, indices: IntArray) -> torch.Tensor:
        if -1 in indices:
            raise DataError("no such image")
        self.read_indices += indices.tolist()
        self.threads.add(threading.get_ident())
        return torch.from_numpy(indices.astype(np.uint8))[:, None, None, None].expand(-1, 3, 2, 2)


def samples(*indices: int) -> Samples:
    return Samples(np.array(indices), np.zeros((len(indices), 1), np.uint8), np.ones((len(indices), 1), np.bool_))


def shown(loader: Loader, *indices: int) -> list[int]:
    images: list[int] = loader(samples(*indices)).inputs[:, 0, 0, 0].tolist()
    return images


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_what_is_loaded_does_not_depend_on_workers(workers: int) -> None:
    files = Files()
    loader = Loader(files, CPU, workers)
    batches = [samples(3, 1), samples(4, 1), samples(5, 9), samples(2)]
    seen = []
    for each in loader.ahead(iter(batches)):
        seen.append(loader(each).inputs[:, 0, 0, 0].tolist())
        seen.append(shown(loader, 1, 1, 7))
        loader.keep(np.array([1, 3]))
    assert seen == [[3, 1], [1, 1, 7], [4, 1], [1, 1, 7], [5, 9], [1, 1, 7], [2], [1, 1, 7]]
    assert (threading.get_ident() in files.threads) == (workers == 0)


def test_the_next_batches_are_read_before_they_are_asked_for() -> None:
    files = Files()
    loader = Loader(files, CPU, 1)

    def batches() -> Iterator[Samples]:
        yield from (samples(number) for number in range(6))

    stream = loader.ahead(batches())
    loader(next(stream))
    shown(loader, 50)  # one thread: when this is there, what was asked for before it is there as well
    assert files.read_indices == [*range(1 + AHEAD), 50]
    assert [each.indices.tolist() for each in stream] == [[number] for number in range(1, 6)]


def test_a_replayed_image_is_decoded_once_as_long_as_the_memory_holds_it() -> None:
    files = Files()
    loader = Loader(files, CPU, 1)
    for first in (0, 2, 4):
        shown(loader, first, first + 1)
        loader.keep(np.array([0, first]))
        assert shown(loader, 0, first) == [0, first]
    assert files.read_indices == [0, 1, 2, 3, 4, 5]
    assert shown(loader, 2) == [2]
    assert files.read_indices[6:] == [2]  # no longer held


def test_a_memory_too_large_is_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", 3 * 2 * 2 * 2 - 1)
    files = Files()
    loader = Loader(files, CPU, 1)
    shown(loader, 0, 1)
    loader.keep(np.array([0, 1]))
    shown(loader, 7)
    shown(loader, 0, 1)
    assert files.read_indices == [0, 1, 7, 0, 1]


def test_a_memory_that_grows_too_large_lets_go_of_what_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", 3 * 2 * 2 * 2)
    files = Files()
    loader = Loader(files, CPU, 1)
    shown(loader, 0, 1)
    loader.keep(np.array([0, 1]))
    shown(loader, 2)
    loader.keep(np.array([0, 1, 2]))
    shown(loader, 0, 1, 2)
    assert files.read_indices == [0, 1, 2, 0, 1, 2]


def test_an_error_in_a_thread_is_raised_where_the_batch_is_loaded() -> None:
    loader = Loader(Files(), CPU, 2)
    stream = loader.ahead(iter([samples(0), samples(-1)]))
    loader(next(stream))
    bad = next(stream)
    with pytest.raises(DataError, match="no such image"):
        loader(bad)


class Second(Engine):
    """The second of two processes, as far as a loader asks it."""

    def parts(self, count: int) -> tuple[int, ...]:
        return (count,)

    def share(self, rows: Any) -> Any:
        return rows[1::2]


@pytest.mark.parametrize("workers", [0, 1])
def test_of_a_batch_that_is_shared_out_it_reads_its_share(workers: int) -> None:
    files = Files()
    loader = Loader(files, CPU, workers, Second())
    [part] = loader.ahead(iter([samples(3, 1, 4)]))
    batch = loader(part)
    assert batch.inputs[:, 0, 0, 0].tolist() == [1] == files.read_indices
    assert len(batch) == len(batch.labels) == 3 and batch.parts == (3,)
    assert origin_of(batch.inputs) == Origin(3, parts=(3,))
    whole = loader(part, whole=True)
    assert whole.inputs[:, 0, 0, 0].tolist() == [3, 1, 4] and whole.parts == ()
    assert origin_of(whole.cut(0).inputs) == Origin(3, whole=True)
    assert batch.join(batch).parts == (3, 3)
