from clbench.cli import cards


def card(**more: object) -> dict[str, object]:
    """Of a head with one option."""
    lr = {"name": "width", "default": 0, "help": "channels", "choices": (), "search": (), "bounds": {}}
    return {"name": "h", "kind": "head", "module": "m.h", "description": "One.", "options": [lr]} | more


def test_a_card_begins_with_what_it_is() -> None:
    assert cards.text(card()) == "h (head, m.h)\n\nOne.\n\nOptions (--set KEY=VALUE)\n  width=0: channels"


def test_a_path_stays_whole_and_blocks_stay_as_they_are() -> None:
    path, block = "tests/" + "a" * 90 + ".py", "    " + "x " * 60
    lines = cards.text(card(description=f"See {path} there.\n\n{block}")).splitlines()
    assert path in lines and block in lines


def test_what_a_search_tries_is_told() -> None:
    option = {
        "name": "rho",
        "default": 0.0,
        "help": "exponent",
        "choices": (),
        "search": (-0.5, 0.5, "linear"),
        "bounds": {},
    }
    choice = {
        "name": "mode",
        "default": "a",
        "help": "which",
        "choices": ("a", "b"),
        "search": ("a", "b"),
        "bounds": {},
    }
    text = " ".join(cards.text(card(options=[option, choice])).split())
    assert "`clbench tune` tries -0.5 to 0.5, linear" in text and "which (a, b); `clbench tune` tries a, b" in text


def test_bounds_stand_beside_choices_and_an_empty_default_is_seen() -> None:
    option = {
        "name": "size",
        "default": "",
        "help": "how many",
        "choices": ("a",),
        "search": (),
        "bounds": {"above": 0.5},
    }
    assert "size='': how many (a, above 0.5)" in cards.text(card(options=[option]))


def test_what_a_run_takes_is_told_with_who_says_so() -> None:
    model = {"backbone": {"value": "small", "from": "scenario"}, "weights": {"value": "none", "from": ""}}
    run = {"scenario": "s", "strategy": "m", "memory": None, "head": "h", "options": {"model": model, "head": {}}}
    lines = cards.text(card(effective=run)).splitlines()
    assert lines[-2:] == ["  backbone: small from random weights", "  model: backbone=small (scenario), weights=none"]
    assert lines[-4].startswith("What `clbench run --scenario s --strategy m` takes")
    refused = {"scenario": "s", "strategy": "m", "refused": "No."}
    assert cards.text(card(effective=refused)).endswith("`clbench run --scenario s --strategy m` is refused: No.")
