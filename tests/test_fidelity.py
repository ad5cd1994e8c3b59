"""docs/fidelity.md is what the docstrings say, and the tests that they name are there and have their numbers."""

import ast

import fidelity
import pytest
from fidelity import PAGE, PARTS, Claim, Entry, claims, entries, page, parts, refuted

ENTRIES = list(entries())
OWED = ("strategies", "memories", "heads", "metrics")
THIS = "tests/test_fidelity.py"


def test_the_page_is_what_the_docstrings_give() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python bench/fidelity.py`"


def test_every_built_in_plugin_is_there() -> None:
    found = {(entry.kind, entry.name) for entry in ENTRIES}
    assert found >= {("strategies", name) for name in ("finetune", "joint", "er", "dlfl", "ewc", "lwf")}
    assert found >= {("memories", "prs"), ("memories", "reservoir"), ("heads", "linear"), ("heads", "dlfl")}
    assert found >= {("scenarios", "coco-seq"), ("scenarios", "class-incremental"), ("metrics", "ranking")}
    assert len(found) == len(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_it_has_every_part_and_every_claim_holds(entry: Entry) -> None:
    if entry.kind in OWED or entry.parts:  # `table` is for data of one's own: it has no source
        assert tuple(entry.parts) == PARTS
        assert claims(entry.parts["Matched"]), "no test shows anything"
    for text in entry.parts.values():
        assert text.count("tests/") == sum(len(claim.tests) for claim in claims(text)), "a test outside brackets"
        assert [wrong for claim in claims(text) for wrong in refuted(claim)] == []


def test_what_is_exact_is_compared_exactly() -> None:
    said = [claim for entry in ENTRIES for text in entry.parts.values() for claim in claims(text)]
    exact = [claim for claim in said if "bit for bit" in claim.text]
    assert len(exact) >= 4
    for claim in exact:
        for test in claim.tests:
            function = fidelity._function(test)
            assert function is not None and "torch.equal(" in ast.unparse(function), test


def test_parts_and_claims_of_a_docstring() -> None:
    found = parts(
        f"A thing.\n\nSource: nobody,\nnever.\n\nMatched: one ({THIS}::a). Two ({THIS}::a, {THIS}::b).\n\n    x"
    )
    assert found == {"Source": "nobody, never.", "Matched": f"one ({THIS}::a). Two ({THIS}::a, {THIS}::b)."}
    assert claims(found["Matched"]) == [Claim("one ", (f"{THIS}::a",)), Claim(". Two ", (f"{THIS}::a", f"{THIS}::b"))]


def numbers() -> tuple[float, ...]:
    return 0.25, 1e-7, 12_345


def test_a_claim_without_its_test_or_with_another_number_is_found_out() -> None:
    here = f"{THIS}::test_a_claim_without_its_test_or_with_another_number_is_found_out"
    for number, text in zip(numbers(), ("within 0.25 of it", "within 1e-7.", "over 12,345 samples"), strict=True):
        assert refuted(Claim(text, (here,))) == [], number
    assert refuted(Claim("within 1e-8", (here,))) == [f"1e-8 stands in none of {here}"]
    assert refuted(Claim("it is", (f"{THIS}::test_no", "tests/no.py::test_no"))) == [
        f"{THIS}::test_no does not exist",
        "tests/no.py::test_no does not exist",
    ]
