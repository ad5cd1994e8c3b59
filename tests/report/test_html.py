import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from time import perf_counter

import pytest
from markupsafe import escape

from clbench.report.glossary import meaning
from clbench.report.html import html
from clbench.report.rows import Row, collect
from clbench.report.tables import build_tables
from clbench.store.folder import FAILED, find_runs

Make = Callable[..., None]

EVIL = '</script><script>window.broken = 1</script><img src=x onerror="window.broken = 1">'


def rows(store: Path) -> list[Row]:
    return collect(find_runs(store))


class Page(HTMLParser):
    """What a reader sees, and every tag."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.ids: list[str | None] = []
        self.links: list[str | None] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "action")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def page(store: Path, make: Make) -> str:
    for seed in range(3):
        make("er", seed)
        make("dlfl", seed, offset=0.1)
    make("joint", 0, joint=True, epochs=5)
    make("lwf", 0, FAILED, reason=EVIL)
    make("er", 0, changed={"note": EVIL})
    return html(rows(store))


def test_every_cell_and_note_of_the_tables_is_there(page: str, store: Path) -> None:
    text = Page(page).text
    for table in build_tables(rows(store)):
        assert table.title.removeprefix("made (2 tasks, 4 classes): ") in text
        assert all(cell in text for line in table.marked_cells for cell in line)
        assert all(note in text for note in table.notes)


def test_every_run_shows_its_configuration_and_environment(page: str, store: Path) -> None:
    parsed = Page(page)
    for run in find_runs(store):
        assert f"{run.config_hash}/seed{run.seed}" in parsed.text
    assert parsed.text.count('"protocol"') == parsed.text.count('"manifest"') == len(list(find_runs(store)))


def test_text_of_runs_is_escaped(page: str) -> None:
    parsed = Page(page)
    assert parsed.tags.count("script") == 1 and "img" not in parsed.tags
    assert "<script>window.broken" not in page and EVIL in parsed.text


def test_nothing_outside_is_linked_and_no_name_is_there_twice(page: str) -> None:
    parsed = Page(page)
    assert parsed.links and all(link and link.startswith(("#", "data:")) for link in parsed.links)
    assert "@import" not in page and "url(http" not in page
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert {link[1:] for link in parsed.links if link and link.startswith("#")} <= set(parsed.ids)


@pytest.mark.slow
def test_the_same_folders_give_the_same_bytes_wherever_they_are(page: str, store: Path) -> None:
    moved = store.rename(store.with_name("elsewhere"))
    assert html(rows(moved)) == page
    code = "import sys; from test_html import Path, html, rows; sys.stdout.write(html(rows(Path('.'))))"
    other = subprocess.run(
        [sys.executable, "-c", code],
        cwd=moved,
        env={"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[2]}", "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert other.stdout == page, other.stderr


@pytest.mark.slow
def test_a_hundred_runs_stay_below_three_megabytes(store: Path, make: Make) -> None:
    for number in range(20):
        for seed in range(5):
            make("er", seed, epochs=number + 1, changed={"epochs": number})
    assert len(html(rows(store)).encode()) < 3_000_000


@pytest.mark.slow
def test_hundreds_of_runs_are_reported(store: Path, make: Make) -> None:
    """bench/report.py does it with 1,000."""
    for number in range(40):
        for seed in range(5):
            make("er", seed, epochs=number + 1, changed={"epochs": number})
    started = perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "clbench", "report", "--runs", str(store)], capture_output=True, text=True
    )
    print(f"report over 200 runs: {perf_counter() - started:.1f} s")
    assert done.returncode == 0 and done.stdout.count("er (epochs=") >= 80


def test_what_a_column_means_stands_at_its_heading_and_one_click_away(page: str) -> None:
    title = str(escape(meaning("forgetting_mAP")))
    assert f'title="{title}">forgetting</button>' in page
    glossary = page[page.index("<summary>What the columns mean") : page.index("</dl>")]
    for column in ("strategy", "n", "mAP", "mAP:minority", "OF1", "train_seconds"):
        assert f"<dd>{escape(meaning(column))}</dd>" in glossary
    assert glossary.count("<dt>n</dt>") == 1 and "<dt>rank</dt>" not in page  # no column of these tables
