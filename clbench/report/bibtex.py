"""What to cite, as BibTeX. The one list of papers are the docstrings: the paragraph `Source:` of each plugin.

A paper stands there as

    AUTHORS, "TITLE" (SHORT), VENUE YEAR, arXiv ID

with the authors' surnames (`Kim, Jeong, Kim`, `Li and Hoiem`, `Jia et al.`). SHORT may be missing, and either VENUE
YEAR or the arXiv ID; a journal may have its volume: `Journal 11(1), 1985`. What is named without a title is not cited.
"""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import normalize

from clbench import __version__
from clbench.report.latex import escape

_NAME = r"(?:(?:van|von|de|den|der|di|la|le) )*[A-Z][\w'-]+"
_PAPER = re.compile(
    rf'(?P<authors>{_NAME}(?:(?:, | and ){_NAME})*(?P<others> et al\.)?), "(?P<title>[^"]+)"(?: \([^()]+\))?'
    r"(?:, (?P<venue>[A-Z][^,;()\".]*?)(?: (?P<volume>\d+)\((?P<number>\d+)\))?,? (?P<year>\d{4})\b)?"
    r"(?:, arXiv (?P<arxiv>\d{4}\.\d{4,5})\b)?"
)
_JOURNAL = re.compile(r"Journal|Transactions|PNAS|TPAMI|TMLR|JMLR|IJCV")
_SMALL = frozenset({"a", "an", "on", "the"})
"""First words of a title that tell nothing."""
SELF = "clbench: a benchmark suite for continual multi-label image classification", "The clbench maintainers"
"""Title and authors of this program, as in CITATION.cff."""
WIDTH = 80


@dataclass(frozen=True)
class Paper:
    """A paper as a docstring names it. Texts are empty where it says nothing.

    authors: surnames in their order. others: whether there are more of them. year: the venue's, else the one in which
    the arXiv ID was given.
    """

    authors: tuple[str, ...]
    others: bool
    title: str
    venue: str
    volume: str
    number: str
    year: str
    arxiv: str

    @property
    def key(self) -> str:
        """`kim2020imbalanced`: surname, year, and the first word of the title that tells something."""
        word = next((each for each in re.findall(r"\w+", self.title) if each.lower() not in _SMALL), "")
        return "".join(_plain(part) for part in (self.authors[0], self.year, word))

    @property
    def kind(self) -> str:
        """The type of its entry: what is on arXiv alone is of none."""
        return "misc" if not self.venue else "article" if _JOURNAL.search(self.venue) else "inproceedings"

    @property
    def fields(self) -> dict[str, str]:
        """Field -> its value, as BibTeX has it without the outer braces."""
        place = {"article": "journal", "inproceedings": "booktitle", "misc": ""}[self.kind]
        found = {
            "author": " and ".join([*map(_written, self.authors), *(["others"] if self.others else [])]),
            "title": f"{{{_written(self.title)}}}",  # or styles would write its names small
            place: _written(self.venue),
            "volume": self.volume,
            "number": self.number,
            "year": self.year,
            "eprint": self.arxiv,
            "archiveprefix": "arXiv" if self.arxiv else "",
        }
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True)
class Cited:
    """A plugin or backbone that is to be cited. source: its paragraph `Source:`; None where nothing is known of it."""

    kind: str
    name: str
    source: str | None

    @property
    def papers(self) -> list[Paper]:
        return papers(self.source or "")


def source_of(docstring: str) -> str | None:
    """The paragraph `Source:` of a docstring on one line, without that word; None where there is none."""
    for paragraph in docstring.split("\n\n"):
        name, colon, text = paragraph.partition(":")
        if colon and name == "Source":
            return " ".join(text.split())
    return None


def papers(source: str) -> list[Paper]:
    """The papers that a paragraph names with title and year, in its order."""
    found = []
    for match in _PAPER.finditer(" ".join(source.split())):
        part = {name: value or "" for name, value in match.groupdict().items()}
        year = part["year"] or (f"20{part['arxiv'][:2]}" if part["arxiv"] else "")
        names = part["authors"].removesuffix(part["others"])
        authors = tuple(re.split(r", | and ", names))
        if year:
            others = bool(part["others"])
            rest = part["venue"], part["volume"], part["number"], year, part["arxiv"]
            found.append(Paper(authors, others, part["title"], *rest))
    return found


def keyed(cited: Sequence[Cited]) -> dict[str, Paper]:
    """Key -> paper, each paper once; where two have one key the later has a letter behind it."""
    found: dict[str, Paper] = {}
    titles: set[str] = set()
    for paper in (paper for each in cited for paper in each.papers):
        if paper.title.lower() not in titles:
            titles.add(paper.title.lower())
            letters = ["", *map(chr, range(ord("b"), ord("z") + 1))]
            found[next(key for letter in letters if (key := paper.key + letter) not in found)] = paper
    return found


def keys_of(one: Cited, known: dict[str, Paper]) -> list[str]:
    """Under which keys its papers stand."""
    titles = {paper.title.lower(): key for key, paper in known.items()}
    return [titles[paper.title.lower()] for paper in one.papers]


def bibtex(cited: Sequence[Cited]) -> str:
    """Comments that say which keys are whose, then an entry for clbench and one for each paper."""
    known = keyed(cited)
    comments = [_comment(each, keys_of(each, known)) for each in dict.fromkeys(cited)]
    title, authors = SELF
    own = {"author": f"{{{authors}}}", "title": f"{{{title}}}", "note": f"Version {__version__}"}
    entries = [_entry("misc", "clbench", own), *(_entry(p.kind, key, p.fields) for key, p in known.items())]
    return "\n".join([*comments, "", "\n\n".join(entries)])


def _comment(one: Cited, keys: Sequence[str]) -> str:
    if keys:
        said = ", ".join(keys)
    elif one.source is None:
        said = "no entry, for it names no source"
    else:
        said = f"no entry; its source: {one.source}"
    text = f"{one.kind} {one.name}: {said}".replace("@", " at ")  # BibTeX begins an entry there, comment or not
    return textwrap.fill(text, WIDTH, initial_indent="% ", subsequent_indent="%   ", break_on_hyphens=False)


def _entry(kind: str, key: str, fields: dict[str, str]) -> str:
    lines = (f"  {name} = {{{value}}}," for name, value in fields.items())
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def _written(text: str) -> str:
    """As LaTeX prints it, without a brace of its own: BibTeX counts braces behind a backslash, too."""
    return escape(text).replace(r"\{", r"\textbraceleft{}").replace(r"\}", r"\textbraceright{}")


def _plain(text: str) -> str:
    """Letters and digits of ASCII, small."""
    return re.sub(r"[^a-z0-9]", "", normalize("NFKD", text).lower())
