"""Memories over a stream as long as COCOseq, and how PRS compares with a slow reference that takes the same decisions.

    python bench/memory.py [--segment 40]

The stream is made: 35,072 samples of 70 classes in four tasks one after another, of COCOseq's sizes and order,
long-tailed with 1 to 4 labels a sample. The reference is the tests' (tests/helpers/prs_reference.py): plain loops, as
one would write from the paper. It is too slow for the whole stream, so both run the same segments, in turn, from the
same state, and must choose the same slots. The other memories that decide from labels alone run the whole stream, which
ends with the largest count of a label in memory over the least.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from _common import header, spread

from clbench.memory import NOT_STORED, Memory, Size
from clbench.memory.class_balanced import ClassBalanced
from clbench.memory.ocdm import OCDM
from clbench.memory.prs import PRS, PRSOptions
from clbench.memory.reservoir import Reservoir
from clbench.randomness import generator

sys.path.append(str(Path(__file__).parent.parent / "tests" / "helpers"))
from prs_reference import SlowPRS  # noqa: E402 (found through the line above)
from streams import samples  # noqa: E402

TASKS = ((8365, 24), (7290, 14), (7814, 18), (11603, 14))
"""(training images, classes) in COCOseq's order: tasks 0, 3, 1, 2."""
SIZE, RHO = 2000, -0.03


def stream() -> npt.NDArray[np.uint8]:
    """Labels (35072, 70)."""
    rng, parts, first, classes = np.random.default_rng(0), [], 0, sum(n for _, n in TASKS)
    for images, count in TASKS:
        share = np.exp(-3 * np.arange(count) / (count - 1))
        labels = np.zeros((images, classes), np.uint8)
        for row in labels:
            row[first + rng.choice(count, size=rng.integers(1, 5), p=share / share.sum())] = 1
        parts.append(labels)
        first += count
    return np.concatenate(parts)


def slow_copy(memory: PRS) -> SlowPRS:
    """The reference in the same state."""
    slow = SlowPRS(SIZE, memory.columns, RHO, False, generator(0, "memory"))
    slow.memory = [(int(i), row.tolist()) for i, row in zip(memory.indices, memory.labels, strict=True)]
    slow.n, slow.p = memory.stream_counts.tolist(), memory.shares.tolist()
    slow.generator.bit_generator.state = memory.generator.bit_generator.state
    return slow


def beside(policy: type[Memory], labels: npt.NDArray[np.uint8]) -> None:
    """Another memory over the whole stream, in batches of 10."""
    memory = policy(policy.Options(size=Size(SIZE)), labels.shape[1], generator(0, "memory"))
    started = time.process_time()
    for index in range(0, len(labels), 10):
        rows = np.arange(index, min(index + 10, len(labels)))
        memory.update(samples(rows, labels[rows]))
    report(memory, time.process_time() - started)


def report(memory: Memory, seconds: float) -> None:
    held = memory.labels.sum(axis=0)
    print(f"  {type(memory).__name__:<16} {seconds:.2f} s of CPU time; labels in memory {held.max()} : {held.min()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--segment", type=int, default=40, help="samples that both run at each position")
    segment = parser.parse_args().segment
    torch.set_num_threads(1)
    print(header())
    labels = stream()
    memory = PRS(PRSOptions(size=Size(SIZE), rho=RHO), labels.shape[1], generator(0, "memory"))
    positions = set(np.linspace(2 * SIZE, len(labels) - segment, 8).astype(int).tolist())
    seconds, evictions, ours, theirs, same = 0.0, 0, [], [], 0
    index = 0
    while index < len(labels):
        rows = np.arange(index, min(index + 10, len(labels)))
        if positions & set(rows.tolist()):  # not timed as part of the stream: both run ahead on copies
            fast = PRS(memory.options, memory.columns, generator(1))
            fast.load_state(memory.state())
            slow = slow_copy(memory)
            ahead = np.arange(index, index + segment)
            started = time.process_time()
            slots = [slow.offer(int(i), labels[i].tolist()) for i in ahead]
            between = time.process_time()
            found = fast.update(samples(ahead, labels[ahead])).tolist()
            ours.append(1e3 * (time.process_time() - between) / segment)
            theirs.append(1e3 * (between - started) / segment)
            same += found == slots
        started = time.process_time()
        slots_now = memory.update(samples(rows, labels[rows]))
        seconds += time.process_time() - started
        evictions += int((slots_now != NOT_STORED).sum())
        index += 10
    print(f"PRS, {len(labels):,} samples, {labels.shape[1]} classes, memory {SIZE:,}, {evictions - SIZE:,} evictions")
    print(f"  whole stream     {seconds:.2f} s of CPU time  (goal: at most 10 s)")
    print(f"  ours             {spread(ours, 'ms/sample')}")
    print(f"  slow reference   {spread(theirs, 'ms/sample')}")
    print(f"  ratio            {spread([b / a for a, b in zip(ours, theirs, strict=True)], 'times')}")
    print(f"  same slots in {same} of {len(ours)} segments of {segment} samples")
    print("beside it, the whole stream")
    report(memory, seconds)
    for policy in (OCDM, ClassBalanced, Reservoir):
        beside(policy, labels)


if __name__ == "__main__":
    main()
