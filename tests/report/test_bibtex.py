import re
import tomllib
from pathlib import Path

import pytest

from clbench import plugins
from clbench.cli.facts import PLURALS
from clbench.models.options import BACKBONES, SOURCES
from clbench.report.bibtex import SELF, Cited, Paper, bibtex, keyed, papers, source_of

ROOT = Path(__file__).parents[2]
PLUGINS = [(kind, name) for kind in PLURALS for name in plugins.available(kind)]
WITHOUT = re.compile(r"none\b|ours\b")
"""How a source begins that is no paper."""
DATA_OF_ONES_OWN = {"table"}
"""What has no source at all."""


def parsed(text: str) -> dict[str, dict[str, str]]:
    """Key -> fields, by the grammar of BibTeX: braces are balanced, and what stands between entries is no entry.

    Raises ValueError for anything else.
    """
    found: dict[str, dict[str, str]] = {}
    place = 0
    while (at := text.find("@", place)) >= 0:
        head = re.compile(r"@(misc|article|inproceedings)\{([a-z0-9]+),\n").match(text, at)
        if not head or head[2] in found:
            raise ValueError(f"no entry, or one twice: {text[at : at + 40]!r}")
        place, fields = head.end(), {}
        while text[place] != "}":
            name = re.compile(r"\s*([a-z]+) = \{").match(text, place)
            if not name or name[1] in fields:
                raise ValueError(f"no field, or one twice: {text[place : place + 40]!r}")
            place = start = name.end()
            depth = 1
            while depth:
                depth += {"{": 1, "}": -1}.get(text[place], 0)  # behind a backslash, too, as BibTeX counts
                place += 1
            fields[name[1]] = text[start : place - 1]
            if text[place : place + 2] != ",\n":
                raise ValueError(f"no comma: {text[place : place + 40]!r}")
            place += 2
        found[head[2]] = fields
    return found


def cited(kind: plugins.Kind, name: str) -> Cited:
    return Cited(kind, name, source_of(plugins.find(kind, name).docstring()))


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_every_plugin_has_an_entry_or_says_that_there_is_none(kind: plugins.Kind, name: str) -> None:
    one = cited(kind, name)
    entries = parsed(bibtex([one]))
    if one.papers:
        assert len(entries) == 1 + len(one.papers)
    elif name in DATA_OF_ONES_OWN:
        assert f"% {kind} {name}: no entry, for it names no source" in bibtex([one])
    else:
        assert one.source and WITHOUT.match(one.source), "a source without a title, or a paper in another form"
        assert f"% {kind} {name}: no entry; its source: " in bibtex([one])


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_no_title_of_a_source_is_passed_over(kind: plugins.Kind, name: str) -> None:
    one = cited(kind, name)
    assert [paper.title for paper in one.papers] == re.findall(r'"([^"]+)"', one.source or "")


def test_all_of_them_together_are_one_valid_file_with_each_paper_once() -> None:
    everything = [cited(kind, name) for kind, name in PLUGINS]
    everything += [Cited("backbone", name, SOURCES[name]) for name in BACKBONES]
    entries = parsed(bibtex(everything))
    titles = [fields["title"] for fields in entries.values()]
    assert len(set(titles)) == len(titles) >= 20 and list(entries)[0] == "clbench"
    assert entries["kim2020imbalanced"] == {
        "author": "Kim and Jeong and Kim",
        "title": "{Imbalanced Continual Learning with Partitioning Reservoir Sampling}",
        "booktitle": "ECCV",
        "year": "2020",
        "eprint": "2009.03632",
        "archiveprefix": "arXiv",
    }
    assert entries["he2016deep"]["booktitle"] == "CVPR" and entries["tan2019efficientnet"]["eprint"] == "1905.11946"
    for key, fields in entries.items():
        assert key == "clbench" or re.fullmatch(r"(19|20)\d\d", fields["year"])
        assert fields.keys() & {"booktitle", "journal", "eprint", "note"}


def test_every_backbone_has_a_source() -> None:
    assert SOURCES.keys() == BACKBONES.keys()
    for name in ("resnet18", "resnet50", "resnet101", "efficientnet_lite0"):
        assert len(papers(SOURCES[name])) == 1


def test_titles_of_backbones_are_those_of_torchvisions_documentation() -> None:
    from torchvision.models import efficientnet, resnet

    for module, name in ((resnet.resnet18, "resnet18"), (efficientnet.efficientnet_b0, "efficientnet_lite0")):
        [paper] = papers(SOURCES[name])
        documented = " ".join((module.__doc__ or "").split())
        assert f"`{paper.title} <https://arxiv.org/abs/{paper.arxiv}>`" in documented


def test_clbench_is_cited_as_its_own_file_says() -> None:
    said = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    title, authors = SELF
    assert f'title: "{title}"' in said and f"- name: {authors}\n" in said
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"\nversion: {version}\n" in said and f"note = {{Version {version}}}" in bibtex([])


FORMS = {
    'Jia et al., "Learning Labels" (DLFL), arXiv 2212.01461 (abstract read)': Paper(
        ("Jia",), True, "Learning Labels", "", "", "", "2022", "2212.01461"
    ),
    'none read. van de Ven, "On the Fisher", ICLR 2025; more': Paper(
        ("van de Ven",), False, "On the Fisher", "ICLR", "", "", "2025", ""
    ),
    'that of Li and Ben-Cohen, "A Thing", ACM Transactions on Things 11(2), 1985 (as told)': Paper(
        ("Li", "Ben-Cohen"), False, "A Thing", "ACM Transactions on Things", "11", "2", "1985", ""
    ),
}


@pytest.mark.parametrize("text", FORMS)
def test_the_forms_of_a_citation(text: str) -> None:
    assert papers(text) == [FORMS[text]]
    assert papers(text.replace(" ", "\n")) == [FORMS[text]]


def test_what_has_no_title_or_no_year_is_no_paper() -> None:
    assert papers("PRS (Kim, Jeong, Kim, ECCV 2020, arXiv 2009.03632; released code read)") == []
    assert papers('Kim, "A Title" and nothing else') == []


def test_keys_are_unique_and_papers_stand_once() -> None:
    first, second = ('Kim, "The Same Word", ECCV 2020', 'Kim, "Same again", ICML 2020')
    both = [Cited("head", "a", first), Cited("head", "b", second)]
    assert list(keyed([*both, Cited("memory", "c", first.upper())])) == ["kim2020same", "kim2020sameb"]
    text = bibtex([*both, Cited("memory", "d", first)])
    assert "% memory d: kim2020same\n" in text and list(parsed(text)) == ["clbench", "kim2020same", "kim2020sameb"]


def test_nothing_that_a_plugin_says_breaks_the_file() -> None:
    """Braces, an entry's beginning in a comment, and what LaTeX takes for a command."""
    hostile = 'Kim, "Saving 50 %} & @misc{x, {{ \\input ~1_000$", ECCV 2020'
    text = bibtex([Cited("head", "a", hostile), Cited("head", "b", "none; see @article{x,\n  title = {no}}")])
    assert "@article{x" not in text
    assert list(parsed(text)) == ["clbench", "kim2020saving"]
    assert r"Saving 50 \%\textbraceright{} \& @misc\textbraceleft{}x" in parsed(text)["kim2020saving"]["title"]


def test_a_docstrings_source() -> None:
    assert source_of("A thing.\n\nSource: one,\ntwo.\n\nMatched: no.") == "one, two."
    assert source_of("A thing.\n\nDiffers: Source: no.") is None
