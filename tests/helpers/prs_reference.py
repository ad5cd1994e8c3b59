"""PRS in plain loops, straight from the description of the released algorithm: slow, and easy to check by eye."""

import math

import numpy as np

SAME = 1e-9


class SlowPRS:
    """Takes the same random numbers as `clbench.memory.prs.PRS`: one per sample once full, one more if accepted."""

    def __init__(
        self, size: int, classes: int, rho: float, official_bound: bool, generator: np.random.Generator
    ) -> None:
        self.m, self.rho, self.official_bound, self.generator = size, rho, official_bound, generator
        self.memory: list[tuple[int, list[int]]] = []  # (index, labels) in slot order
        self.n = [0] * classes  # stream counts
        self.p = [0.0] * classes  # target shares

    def counts(self, left_out: int = -1) -> list[int]:
        """How many stored samples have each label, one slot left out."""
        totals = [0] * len(self.n)
        for slot, (_, labels) in enumerate(self.memory):
            if slot != left_out:
                for i, y in enumerate(labels):
                    totals[i] += y
        return totals

    def offer(self, index: int, labels: list[int]) -> int:
        slot = -1
        if len(self.memory) < self.m:
            slot = len(self.memory)
            self.memory.append((index, labels))
        elif self.generator.random() < self.sample_in(labels):
            slot = self.sample_out()
            self.memory[slot] = (index, labels)
        for i, y in enumerate(labels):
            self.n[i] += y
        counts = self.counts()
        total = sum(self.n[i] ** self.rho for i in range(len(self.n)) if counts[i] > 0)
        for i in range(len(self.n)):
            if counts[i] > 0:
                self.p[i] = self.n[i] ** self.rho / total
        return slot

    def sample_in(self, labels: list[int]) -> float:
        positive = [i for i, y in enumerate(labels) if y]
        if not positive:
            return 0.0
        least = min(self.n[i] for i in positive)
        weights = {i: math.exp(-(self.n[i] - least)) for i in positive}
        accept = 0.0
        for i in positive:
            target = self.m * self.p[i]
            rate = 1.0 if self.n[i] <= target else target / self.n[i]
            accept += rate * weights[i] / sum(weights.values())
        return accept

    def sample_out(self) -> int:
        draw = self.generator.random()
        counts = self.counts()
        active = [i for i in range(len(counts)) if counts[i] > 0]
        if not active:
            return 0
        total = sum(counts[i] for i in active)
        delta = {i: counts[i] - self.p[i] * total for i in active}
        largest = max(delta.values())
        powers = [math.exp(delta[i] - largest) for i in active]
        edge, chosen, draw = 0.0, active[-1], draw * sum(powers)
        for i, power in zip(active, powers, strict=True):
            edge += power
            if draw < edge:
                chosen = i
                break
        query = [i for i in active if delta[i] <= SAME]
        members = [slot for slot, (_, labels) in enumerate(self.memory) if labels[chosen]]
        score = {slot: sum(1 - self.memory[slot][1][i] for i in query) for slot in members}
        candidates = [slot for slot in members if score[slot] == max(score.values())]
        distances = []
        for slot in candidates:
            without = self.counts(left_out=slot)
            still = [i for i in range(len(without)) if without[i] > 0]
            total = sum(without[i] for i in still)
            distances.append(sum(abs(without[i] - self.p[i] * total) for i in still))
        if self.official_bound and min(distances) >= self.m:
            return candidates[0]
        return next(s for s, distance in zip(candidates, distances, strict=True) if distance <= min(distances) + SAME)
