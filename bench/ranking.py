"""mAP of 40,000 images and 80 classes: ours against scikit-learn, in the same run.

    python bench/ranking.py [--repeats 5]

Labels are long-tailed, 3.6 % positives in all. scikit-learn's `average_precision_score` is called for each class, which
is as fast as its macro call. One thread; CPU time. Goal: 10 times as fast on untied scores, as networks give them; the
three regimes of ties are there to show that both agree, and what ties cost.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from _common import header, spread
from sklearn.metrics import average_precision_score

from clbench.metrics import average_precision

IMAGES, CLASSES, POSITIVES = 40_000, 80, 0.036

Labels = npt.NDArray[np.uint8]
Scores = npt.NDArray[np.float32]


def data() -> tuple[Labels, Scores]:
    rng = np.random.default_rng(0)
    share = np.exp(-3 * np.arange(CLASSES) / CLASSES)
    share *= POSITIVES / share.mean()
    labels = (rng.random((IMAGES, CLASSES)) < share).astype(np.uint8)
    return labels, (rng.normal(size=labels.shape) + labels).astype(np.float32)


def sklearn(labels: Labels, scores: Scores) -> npt.NDArray[np.float64]:
    return np.array([average_precision_score(labels[:, c], scores[:, c]) for c in range(labels.shape[1])])


def timed(function: Callable[[Labels, Scores], object], labels: Labels, scores: Scores) -> float:
    started = time.process_time()
    function(labels, scores)
    return 1e3 * (time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    print(header())
    labels, scores = data()
    regimes = {
        "no ties": scores,
        "two decimals": scores.round(2),
        "bfloat16": torch.from_numpy(scores).bfloat16().float().numpy(),
        "all equal": np.zeros_like(scores),
    }
    for name, tied in regimes.items():
        apart = np.abs(average_precision(labels, tied) - sklearn(labels, tied)).max()
        pairs = [(timed(average_precision, labels, tied), timed(sklearn, labels, tied)) for _ in range(repeats)]
        ours, theirs = zip(*pairs, strict=True)
        print(f"{name}: largest difference {apart:.1e}")
        print(f"  clbench       {spread(ours, 'ms')}")
        print(f"  scikit-learn  {spread(theirs, 'ms')}")
        print(f"  ratio         {spread([b / a for a, b in pairs], 'times')}")


if __name__ == "__main__":
    main()
