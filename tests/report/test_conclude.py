import re
import textwrap
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clbench.report.compare import all_pairs, compare_rows
from clbench.report.conclude import NAMED, Outcome, claims, outcome, sentence
from clbench.report.formats import WIDTH
from clbench.report.names import in_words
from clbench.report.rows import Row, collect
from clbench.store.folder import FAILED, find_runs

Make = Callable[..., None]
Pair = tuple[int, int]


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


def say(store: Path, metric: str = "mAP") -> str:
    found = rows(store)
    return sentence(found, in_words(found), metric)


# Whatever the pairs' outcome: what is claimed is so, and what is counted is counted right.


@st.composite
def outcomes(draw: st.DrawFn, most: int = 7) -> Outcome:
    """Any places, any pairs that differ, in either direction: by far more than tests could bring about."""
    count = draw(st.integers(2, most))
    places = draw(st.permutations(range(count)))
    kinds = draw(st.sampled_from([(0, 1), (1,), (0,), (0, 1, 1, 1), (0, 1, 2)]))  # tied, as ordered, against the order
    wins = set()
    for a, b in combinations(places, 2):
        kind = draw(st.sampled_from(kinds))
        if kind:
            wins.add((a, b) if kind == 1 else (b, a))
    return Outcome(tuple(places), frozenset(wins), (20, 20))


@st.composite
def layered(draw: st.DrawFn) -> Outcome:
    """Rows in layers: those of one cannot be told apart, and beat all below."""
    sizes = draw(st.lists(st.integers(1, 7), min_size=1, max_size=4).filter(lambda sizes: sum(sizes) > 1))
    layer = [number for number, size in enumerate(sizes) for _ in range(size)]
    wins = {(a, b) for a, b in combinations(range(len(layer)), 2) if layer[a] < layer[b]}
    return Outcome(tuple(range(len(layer))), frozenset(wins), (20, 20))


class Reader:
    """Reads a sentence as a person would: who is said to beat whom, who to be tied, and what is only counted."""

    def __init__(self, text: str, places: Sequence[int]) -> None:
        self.left = list(places)
        self.wins: set[Pair] = set()
        self.ties: set[Pair] = set()
        self.counts: tuple[int, int] | None = None  # pairs that differ, of how many others
        self.group: list[int] = []
        for clause in text.split("; "):
            self.read(clause)

    def named(self, text: str, among: Sequence[int]) -> list[int]:
        """The rows of a list. `and 3 more` are all those among which it is that it does not name."""
        found = [int(name) for name in re.findall(r"\br(\d+)\b", text)]
        if more := re.search(r"(\d+) more", text):
            rest = [place for place in among if place not in found]
            assert len(rest) == int(more[1])
            found += rest
        return found

    def tie(self, group: Sequence[int]) -> None:
        self.ties |= {(min(pair), max(pair)) for pair in combinations(group, 2)}

    def read(self, clause: str) -> None:
        if match := re.fullmatch(r"(.+) cannot be told apart", clause):
            among = self.left if "more" not in clause else self.top_of_layer(match[1])
            self.group = self.named(match[1], among)
            self.tie(self.group)
        elif match := re.fullmatch(r"(both|all \d+) beat (.+)", clause):
            assert match[1] == ("both" if len(self.group) == 2 else f"all {len(self.group)}")
            self.beat(self.group, match[2])
        elif match := re.fullmatch(r"none of the other (\d+) pairs differs", clause):
            self.counts = (0, int(match[1]))
        elif match := re.fullmatch(r"(all|\d+ of) the other (\d+) pairs differs?", clause):
            self.counts = (int(match[2]) if match[1] == "all" else int(match[1].split()[0]), int(match[2]))
        else:
            self.of_one(clause)

    def top_of_layer(self, text: str) -> list[int]:
        """Names beyond NAMED are left out; the layer is then as long as its counts say, in the order of the places."""
        more = int(re.search(r"(\d+) more", text)[1])  # type: ignore[index]
        return self.left[: NAMED - 1 + more]

    def of_one(self, clause: str) -> None:
        match = re.fullmatch(r"r(\d+) (.+)", clause)
        assert match, clause
        one, said = int(match[1]), re.split(r" but ", match[2])
        for part in said:
            others = [place for place in self.left if place != one]
            if part.startswith("beats "):
                self.beat([one], part.removeprefix("beats "))
            elif part.startswith("cannot be told from "):
                self.ties |= {(min(one, b), max(one, b)) for b in self.named(part, others)}
            else:
                assert part.startswith("is below ") and part.endswith(" on common seeds")
                self.wins |= {(b, one) for b in self.named(part, others)}

    def beat(self, subjects: Sequence[int], text: str) -> None:
        below = [place for place in self.left if place not in subjects]
        losers = below if text.startswith("the other ") else self.named(text, below)
        if text.startswith("the other "):
            assert text == f"the other {len(below)}"
        self.wins |= {(a, b) for a in subjects for b in losers}
        if len(losers) == len(below):
            self.left = below


def differ(found: Outcome, pair: Pair) -> bool:
    return pair in found.wins or pair[::-1] in found.wins


def check(found: Outcome) -> None:
    text = claims(found, {place: f"r{place}" for place in found.places})
    said = Reader(text, found.places)
    assert said.wins <= found.wins, text
    assert not any(differ(found, pair) for pair in said.ties), text
    spoken = len(said.wins) + len(said.ties)
    if said.counts is None:
        assert spoken == found.pairs, text
    else:
        silent = [
            pair
            for pair in combinations(sorted(found.places), 2)
            if pair not in said.ties and pair not in said.wins and pair[::-1] not in said.wins
        ]
        assert said.counts == (sum(differ(found, pair) for pair in silent), len(silent)), text


@given(outcomes(most=NAMED))
def test_every_claim_is_a_tests_outcome(found: Outcome) -> None:
    check(found)


@given(layered())
def test_layers_are_told_in_full(found: Outcome) -> None:
    check(found)
    assert "pairs" not in claims(found, {place: f"r{place}" for place in found.places})


@given(outcomes(most=12), st.integers(1, 60))
def test_it_fits_a_terminal(found: Outcome, length: int) -> None:
    text = claims(found, {place: f"{'n' * length}{place}" for place in found.places})
    assert max(map(len, textwrap.wrap(f"By mAP {text}.", WIDTH))) <= WIDTH


@pytest.mark.parametrize(
    ("wins", "text"),
    [
        ("", "a, b, c and d cannot be told apart"),
        ("ac ad bc bd cd", "a and b cannot be told apart; both beat c and d; c beats d"),
        ("ab ac ad bc bd cd", "a beats b, c and d; b beats c and d; c beats d"),
        ("ab ac ad", "a beats b, c and d; b, c and d cannot be told apart"),
        ("ad bd", "a beats d but cannot be told from b or c; 1 of the other 3 pairs differs"),
        ("ad bd bc", "a beats d but cannot be told from b or c; 2 of the other 3 pairs differ"),
        ("ad", "a beats d but cannot be told from b or c; none of the other 3 pairs differs"),
        ("bd bc cd", "a cannot be told from b, c or d; all the other 3 pairs differ"),
        ("ad bd cd", "a, b and c cannot be told apart; all 3 beat d"),
        ("ab ac ad bd", "a beats b, c and d; b beats d but cannot be told from c; c and d cannot be told apart"),
        (
            "ab ac ad bd cb",
            "a beats b, c and d; b beats d but is below c on common seeds; c and d cannot be told apart",
        ),
    ],
)
def test_sentences_by_hand(wins: str, text: str) -> None:
    found = Outcome(
        (0, 1, 2, 3), frozenset(("abcd".index(pair[0]), "abcd".index(pair[1])) for pair in wins.split()), (9, 9)
    )
    assert claims(found, dict(enumerate("abcd"))) == text


def test_many_rows_are_counted_and_not_named_again() -> None:
    chain = Outcome(tuple(range(8)), frozenset(combinations(range(8), 2)), (20, 20))
    names = dict(enumerate("abcdefgh"))
    assert claims(chain, names).startswith("a beats b, c, d, e and 3 more; b beats the other 6; c beats the other 5;")
    tied = Outcome(tuple(range(8)), frozenset(), (20, 20))
    assert claims(tied, names) == "a, b, c, d and 4 more cannot be told apart"


# The tests behind it.


@pytest.mark.slow
def test_the_outcome_is_that_of_compare(store: Path, make: Make) -> None:
    rng = np.random.default_rng(1)
    for name, offset in (("dlfl", 0.1), ("er", 0.09), ("ewc", 0.0), ("lwf", -0.2)):
        for seed in range(9):
            make(name, seed, offset=offset + float(rng.normal(0, 0.03)))
    members = rows(store)
    found = outcome(members, "mAP")
    assert found is not None and found.seeds == (9, 9)
    labels = [row.label for row in members]
    expected = {
        (labels.index(pair.a), labels.index(pair.b))[:: 1 if pair.difference > 0 else -1]
        for pair in compare_rows(all_pairs(members), "mAP")
        if pair.significant
    }
    assert found.wins == expected and 0 < len(expected) < 6
    assert [labels[place] for place in found.places] == sorted(
        labels, key=lambda label: -members[labels.index(label)].metric("mAP")["mean"]
    )


@pytest.mark.slow
def test_what_stands_above_a_table(store: Path, make: Make) -> None:
    for seed in range(8):
        make("dlfl", seed, offset=0.3 + 0.01 * seed, head="dlfl", memory="prs")
        make("dlfl", seed, offset=0.335 + 0.01 * (-1) ** seed, head="dlfl", memory="reservoir", changed={"memory": "r"})
        make("er", seed)
        make("joint", seed, joint=True, offset=0.9)
        make("lwf", seed, leak="it saw them", offset=0.8)
        make("ewc", seed, FAILED, reason="it broke")
    assert say(store) == (
        "By mAP dlfl/prs and dlfl/reservoir cannot be told apart; both beat er (n = 8; paired tests, Holm's correction "
        "over 3 pairs, 5 %)."
    )


def test_a_single_pair_needs_no_correction(store: Path, make: Make) -> None:
    for seed in range(6):
        make("er", seed)
        make("lwf", seed, offset=0.1)
    assert say(store) == "By mAP lwf beats er (n = 6; paired test, 5 %)."


def test_less_forgetting_wins_and_an_angle_is_only_higher(store: Path, make: Make) -> None:
    for seed in range(6):
        make("er", seed)
        make("lwf", seed)
    found = rows(store)
    for run in found[0].done:
        run.metrics["final"]["forgetting_mAP"] -= 0.1
        run.metrics["positive_angle"][-1] -= 5
    assert sentence(found, ["er", "lwf"], "forgetting_mAP").startswith("By forgetting_mAP er beats lwf (")
    assert sentence(found, ["er", "lwf"], "positive_angle").startswith("By positive_angle lwf is above er (")


@pytest.mark.parametrize(
    ("seeds", "said"),
    [(1, "n = 1 seed is too few"), (2, "n = 2 seeds are too few"), (5, "n = 5 seeds are too few")],
)
def test_few_seeds_conclude_nothing(store: Path, make: Make, seeds: int, said: str) -> None:
    for seed in range(seeds):
        make("er", seed, offset=0.3)
        make("lwf", seed)
    assert say(store) == f"By mAP {said} to conclude anything: a pair takes at least 6."
    make("ewc", 0)
    assert say(store) == f"By mAP {said} to conclude anything: 3 pairs take at least 7."


def test_seeds_that_nobody_shares_conclude_nothing(store: Path, make: Make) -> None:
    for seed in range(8):
        make("er", seed, offset=0.5)
        make("lwf", seed + 8)
    assert say(store) == "By mAP n = 0 seeds are too few to conclude anything: a pair takes at least 6."


@pytest.mark.slow
def test_pairs_with_fewer_common_seeds_are_told_by_their_range(store: Path, make: Make) -> None:
    for seed in range(8):
        make("er", seed)
        make("lwf", seed, offset=0.1)
    make("ewc", 0, offset=-0.3)
    assert say(store) == (
        "By mAP lwf beats er but cannot be told from ewc; er and ewc cannot be told apart (n = 1 to 8; paired tests, "
        "Holm's correction over 3 pairs, 5 %)."
    )


def test_who_is_alone_is_not_compared(store: Path, make: Make) -> None:
    make("er", 0)
    make("joint", 0, joint=True)
    make("lwf", 0, FAILED)
    alone = "By mAP there is nothing to conclude: fewer than two rows compete."
    assert say(store) == sentence([], [], "mAP") == alone
    found = rows(store)
    assert outcome(found, "mAP") is None
    make("lwf", 1)
    found = rows(store)
    found[0].done[0].metrics["final"]["CF1"] = None  # whoever lacks a value is not tested
    assert outcome(found, "CF1") is None and outcome(found, "mAP") is not None
