import math

import numpy as np
import pytest
import torch
from streams import samples

from clbench.arrays import FloatArray, ScoreArray
from clbench.learning.trainer import stages_of, stream
from clbench.memory import NOT_STORED, Cues, Size
from clbench.memory.gss import GSS, GSSOptions, nearest
from clbench.randomness import generator
from clbench.running.build import Prepared, build_scenario, build_strategy
from clbench.running.config import resolve
from clbench.scenario.samples import Samples

CPU = torch.device("cpu")


class Rows(Cues):
    """Gradients that are given, by dataset index."""

    def __init__(self, rows: FloatArray) -> None:
        self.rows = rows.astype(np.float32)
        self.asked = list[tuple[int, bool]]()
        """How many gradients each time, and whether their mean alone."""

    def features(self, samples: Samples) -> ScoreArray:
        raise AssertionError("GSS needs no features")

    def gradients(self, samples: Samples, *, mean: bool = False) -> ScoreArray:
        self.asked.append((len(samples), mean))
        rows: ScoreArray = self.rows[samples.indices]
        return rows.mean(axis=0, keepdims=True) if mean else rows


def make(size: int, columns: int = 1, seed: int = 0, **options: float) -> GSS:
    return GSS(GSSOptions(size=Size(size), **options), columns, generator(seed, "memory"))  # type: ignore[arg-type]


def batch(*indices: int) -> Samples:
    return samples(np.array(indices), np.ones((len(indices), 1), np.uint8))


def slow(rows: FloatArray, size: int, step: int, n: int, q: int, threshold: float) -> tuple[list[int], list[float]]:
    """GSS in plain loops: what stands in each slot, and its score."""
    rng, content, scores = generator(0, "memory"), list[int](), list[float]()

    def mean(indices: list[int]) -> FloatArray:
        total = np.zeros(rows.shape[1])
        for index in indices:
            total += rows[index]
        return total / len(indices)

    def cosine(a: FloatArray, b: FloatArray) -> float:
        return float(np.dot(a, b)) / max(math.sqrt(np.dot(a, a)) * math.sqrt(np.dot(b, b)), 1e-8)

    for start in range(0, len(rows), step):
        new = list(range(start, min(start + step, len(rows))))
        if not content:
            content, scores = new[:size], [0.1] * len(new[:size])
            continue
        order, each = rng.permutation(len(content)).tolist(), min(q, len(content))
        parts = [order[i * each : (i + 1) * each] for i in range(min(n, len(content) // each))]
        drawn = [mean([content[slot] for slot in part]) for part in parts]
        own = {index: max(cosine(rows[index], other) for other in drawn) for index in new}
        if len(content) < size:
            for index in new[: size - len(content)]:
                content.append(index)
                scores.append(own[index])
        elif max(cosine(mean(new), other) for other in drawn) < threshold:
            low, high = min(scores), max(scores)
            weights = np.array([(s - low) / (high - low + 0.01) + 1e-6 for s in scores])
            tries = min(len(new), size)
            slots = rng.choice(size, size=tries, replace=False, p=weights / weights.sum())
            for index, slot, draw in zip(new, slots, rng.random(tries), strict=False):
                a_old, a_new = (scores[slot] + 1) / 2, (own[index] + 1) / 2
                if draw < a_old / (a_old + a_new):
                    content[slot], scores[slot] = index, own[index]
    return content, scores


@pytest.mark.parametrize(("n", "q", "threshold"), [(10, 10, 0.0), (3, 4, 0.5), (2, 50, 2.0)])
def test_slots_and_scores_are_the_slow_references_over_300_samples(n: int, q: int, threshold: float) -> None:
    rows = np.random.default_rng(0).standard_normal((300, 5)).astype(np.float32).astype(np.float64)
    memory, cues = make(23, draws=n, draw_size=q, threshold=threshold), Rows(rows)
    for start in range(0, 300, 7):
        memory.update(batch(*range(start, min(start + 7, 300))), cues)
    content, scores = slow(rows, 23, 7, n, q, threshold)
    assert memory.indices.tolist() == content and max(content) > 30
    assert memory.scores == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize("scenario", ["debug", "debug-incremental"])
def test_cosines_are_those_of_the_closed_form_of_a_linear_head(scenario: str) -> None:
    """With errors d = (sigmoid(z) - y) on known labels and features f with a 1: <g_i, g_j> = (d_i d_j) (f_i f_j)."""
    config = resolve(scenario, "er", memory="gss", settings={"freeze": "backbone"})
    prepared = Prepared(config, build_scenario(config))
    strategy, options = build_strategy(prepared, 0, CPU), config.options["train"]
    stage = next(iter(stages_of(prepared.scenario, options)))
    strategy.enter(stage)
    rows = stage.task.samples.cut(strategy.model.head.num_classes)
    cues = strategy._cues()
    assert cues is not None
    with torch.no_grad(), strategy.evaluating():
        loaded = strategy.load(rows)
        features = strategy.model.map_of(loaded.inputs).mean((2, 3)).double()
        errors = (strategy.model(loaded.inputs).sigmoid() - loaded.labels) * loaded.known
    errors = (errors / loaded.known.sum(1, keepdim=True)).double()
    features = torch.cat([features, torch.ones(len(features), 1, dtype=torch.float64)], 1)
    kernel = ((errors @ errors.T) * (features @ features.T)).numpy()
    parts = np.array_split(np.arange(len(rows) // 2), 3)  # memory batches; the other half is the stream's
    stream_rows = np.arange(len(rows) // 2, len(rows))
    gradients = cues.gradients(rows)
    got = nearest(gradients[stream_rows], np.stack([gradients[part].mean(0) for part in parts]))
    expected = [
        max(kernel[j, part].mean() / math.sqrt(kernel[j, j] * kernel[np.ix_(part, part)].mean()) for part in parts)
        for j in stream_rows
    ]
    assert got == pytest.approx(expected, abs=1e-5)


def test_a_batch_that_is_like_memory_is_not_stored() -> None:
    rows = np.array([[1, 0.1], [1, 0], [1, -0.1], [2, 0.1], [-1, 0], [-2, 0.3]])
    memory, cues = make(3, draw_size=1), Rows(rows)
    memory.update(batch(0, 1, 2), cues)
    assert memory.scores.tolist() == [0.1] * 3
    assert (memory.update(batch(3), cues) == NOT_STORED).all() and memory.indices.tolist() == [0, 1, 2]
    assert (make_full(2.0, cues).update(batch(3, 4), cues) != NOT_STORED).any()


def test_no_gradient_is_asked_for_that_decides_nothing() -> None:
    """A batch that is like the first draw is settled by it; a score of its own has only what may be stored."""
    rows = np.array([[1, 0.1], [1, 0], [1, -0.1], [2, 0.1], [-1, 0]])
    cues = Rows(rows)
    memory = make_full(0.0, cues)
    assert not cues.asked
    memory.update(batch(3, 3), cues)
    assert cues.asked == [(2, True), (1, True)]
    cues.asked.clear()
    memory.update(batch(4, 4), cues)
    assert cues.asked == [(2, True), *[(1, True)] * 3, (2, False)]


def make_full(threshold: float, cues: Cues) -> GSS:
    memory = make(3, draw_size=1, threshold=threshold)
    memory.update(batch(0, 1, 2), cues)
    return memory


def test_what_is_unlike_memory_takes_the_place_of_what_is_like_it() -> None:
    """Of 400 memories, full of alike samples with one unlike them, the unlike one nearly always stays."""
    rows = np.array([[1, 0], [1, 0.01], [1, -0.01], [-1, 0.5], [-1, -0.5]])
    taken = np.zeros(5)
    for seed in range(400):
        memory, cues = make(4, seed=seed, draw_size=1, threshold=2.0), Rows(rows)
        for index in range(5):
            memory.update(batch(index), cues)
        taken[memory.indices] += 1
    # Scores: 0.1, about 1, about 1, about -0.9, and of the last at most 0.6: the fourth has the least weight of all.
    assert taken[3] == 400 and taken[1] < 350 and taken[2] < 350 and taken[4] > 150


@pytest.mark.parametrize(("step", "threshold"), [(1, 0.0), (10, 2.0)])
def test_the_unlike_are_kept_where_most_are_alike(step: int, threshold: float) -> None:
    rng = np.random.default_rng(0)
    common = rng.random(2000) < 0.95
    rows = np.where(common[:, None], [1.0, 0.0, 0.0], rng.standard_normal((2000, 3)))
    memory, cues = make(40, threshold=threshold), Rows(rows + 0.05 * rng.standard_normal((2000, 3)))
    for start in range(0, 2000, step):
        memory.update(batch(*range(start, start + step)), cues)
    assert (~common)[memory.indices].mean() > 0.15, "of the stream 5 % are unlike the others"


@pytest.mark.parametrize("size", [1, 2])
def test_a_memory_smaller_than_a_batch(size: int) -> None:
    rows = np.random.default_rng(0).standard_normal((60, 3))
    memory, cues = make(size), Rows(rows)
    for start in range(0, 60, 5):
        memory.update(batch(*range(start, start + 5)), cues)
        assert len(memory) == len(memory.scores) == size


def test_gradients_are_those_of_the_model_as_it_is_and_replay_goes_on() -> None:
    config = resolve("debug", "er", memory="gss", settings={"size": 8, "draws": 2, "draw_size": 2, "threshold": 2.0})
    prepared = Prepared(config, build_scenario(config))
    strategy, options = build_strategy(prepared, 0, CPU), config.options["train"]
    memory = strategy.memory
    assert isinstance(memory, GSS)
    for stage in list(stages_of(prepared.scenario, options))[:2]:
        strategy.enter(stage)
        for part in stream(stage.task, stage.number, options, 0):
            strategy.observe(strategy.load(part))
            assert strategy.model.training
        strategy.after_task(stage)
    assert len(memory) == 8 and len(set(memory.scores.tolist())) > 4 and np.abs(memory.scores).max() <= 1
