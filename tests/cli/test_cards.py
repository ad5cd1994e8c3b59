from clbench.cli import cards


def card(**more: object) -> dict[str, object]:
    """Of a head with one option."""
    lr = {"name": "width", "default": 0, "help": "channels", "choices": (), "search": ()}
    return {"name": "h", "kind": "head", "module": "m.h", "description": "One.", "options": [lr]} | more


def test_a_card_begins_with_what_it_is() -> None:
    assert cards.text(card()) == "h (head, m.h)\n\nOne.\n\nOptions (--set KEY=VALUE)\n  width=0: channels"


def test_a_path_stays_whole_and_blocks_stay_as_they_are() -> None:
    path, block = "tests/" + "a" * 90 + ".py", "    " + "x " * 60
    lines = cards.text(card(description=f"See {path} there.\n\n{block}")).splitlines()
    assert path in lines and block in lines


def test_what_a_search_tries_is_told() -> None:
    option = {"name": "rho", "default": 0.0, "help": "exponent", "choices": (), "search": (-0.5, 0.5, "linear")}
    choice = {"name": "mode", "default": "a", "help": "which", "choices": ("a", "b"), "search": ("a", "b")}
    text = " ".join(cards.text(card(options=[option, choice])).split())
    assert "`clbench tune` tries -0.5 to 0.5, linear" in text and "which (a, b); `clbench tune` tries a, b" in text
