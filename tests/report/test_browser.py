"""The HTML report in a real browser: what a reader does with it, by mouse, keyboard and on a phone."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clbench.report.html import html
from clbench.report.rows import collect
from clbench.store.folder import FAILED, find_runs

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")]

Make = Callable[..., None]
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)
EVIL = '</script><script>window.broken = 1</script><img src=x onerror="window.broken = 1">'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def file(maker: Callable[[Path], Make], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    make = maker(folder / "runs")
    for seed in range(3):
        make("er", seed, stored=[[3, 1, 0, 0], [2, 1, 1, 1]])
        make("dlfl", seed, offset=0.1)
        make("ewc", seed, offset=-0.1)
    make("joint", 0, joint=True)
    make("lwf", 0, FAILED, reason=EVIL)
    make("er", 0, changed={"note": EVIL})
    path = folder / "report.html"
    path.write_text(html(collect(find_runs(folder / "runs"))), encoding="utf-8")
    return path


@pytest.fixture
def visit(browser: Any, file: Path) -> Iterator[Callable[..., Any]]:
    """Opens the report; at the end nothing may have complained, nor anything have been asked of another."""
    said: list[str] = []
    asked: list[str] = []
    contexts = []

    def opened(width: int = 1280, scheme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(file.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []
    assert {url for url in asked if not url.startswith("data:")} == {file.as_uri()}


def column(page: Any, number: int) -> list[str]:
    table = page.locator("table.sortable").first
    found: list[str] = table.locator(f"tbody tr:not([hidden]) > :nth-child({number})").all_inner_texts()
    return found


def test_sorting_by_number_keeps_what_has_none_last(visit: Callable[..., Any]) -> None:
    page = visit()
    heading = page.locator("table.sortable").first.locator("thead th").nth(4)
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    down = column(page, 5)
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    up = column(page, 5)
    *ranked, failed, bound = up
    values = [float(cell.split("±")[0]) for cell in ranked]
    assert values == sorted(values) and len(values) == 4
    assert failed == down[-2] == FAILED and sorted(up) == sorted(down)
    assert column(page, 1)[-1].startswith("joint") and bound == down[-1]  # whichever way, it stays below the rule


def test_only_one_column_says_that_it_is_sorted(visit: Callable[..., Any]) -> None:
    page = visit()
    buttons = page.locator("table.sortable").first.locator("thead button")
    buttons.nth(3).click()
    buttons.nth(0).click()
    assert page.locator("th[aria-sort]").count() == 1
    *labels, bound = column(page, 1)
    assert labels == sorted(labels) and bound.startswith("joint")


def test_the_filter_hides_rows_and_runs_and_counts(visit: Callable[..., Any]) -> None:
    page = visit()
    page.get_by_role("searchbox").fill("DLFL")
    assert column(page, 1) == ["dlfl [a]"] or column(page, 1) == ["dlfl"]
    assert page.locator("details.run:visible").count() == 3
    assert page.locator("#matches").inner_text() == "3 of 18 rows"
    page.get_by_role("searchbox").fill("")
    assert len(column(page, 1)) == 6 and page.locator("details.run:visible").count() == 12


def test_everything_is_reached_by_keyboard(visit: Callable[..., Any]) -> None:
    page = visit()
    page.keyboard.press("Tab")
    page.keyboard.type("er")
    assert page.evaluate("document.activeElement.id") == "filter"
    page.get_by_role("searchbox").fill("")
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        tag, name, outline, html, found = page.evaluate(
            "(({tagName, className, outerHTML}) => [tagName, className, getComputedStyle(document.activeElement)"
            ".outlineStyle, outerHTML.slice(0, 99), document.activeElement.matches('details.run summary')])"
            "(document.activeElement)"
        )
        reached.add(f"{tag}.{name}")
        assert outline != "none", html
        if found:
            break
    assert {"BUTTON.", "DIV.scroll", "SUMMARY."} <= reached
    page.keyboard.press("Enter")
    assert page.locator("details.run[open] pre").first.is_visible()
    page.locator("thead button").nth(2).focus()
    page.keyboard.press("Space")
    assert page.locator("thead th").nth(2).get_attribute("aria-sort") == "descending"


def test_a_label_or_a_reason_never_runs(visit: Callable[..., Any]) -> None:
    page = visit()
    assert page.evaluate("window.broken") is None
    assert EVIL in page.locator("table.sortable tbody").first.inner_text()
    page.locator("details.run summary", has_text="lwf").click()
    assert page.locator("img").count() == 0


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_reads_at_both_widths_in_both_schemes(visit: Callable[..., Any], width: int, scheme: str) -> None:
    page = visit(width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("details").evaluate_all("all => all.forEach(element => element.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    bright = "Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]) > 127"
    assert page.evaluate(bright) is (scheme == "light")
    ink = page.locator("figure svg text").first
    assert ink.evaluate("element => getComputedStyle(element).fill") == page.evaluate(
        "getComputedStyle(document.body).color"
    )
    other = {"light": "dark", "dark": "light"}[scheme]
    page.get_by_role("button", name=f"Switch to {other}", exact=True).click()
    assert page.evaluate(bright) is (other == "light")
    page.get_by_role("button", name=f"Switch to {scheme}", exact=True).click()
    assert page.evaluate(bright) is (scheme == "light")


@pytest.mark.parametrize("width", [390, 1280])
def test_a_wide_table_scrolls_in_its_own_box(visit: Callable[..., Any], width: int, tmp_path: Path) -> None:
    page = visit(width)
    box = page.locator("div.scroll").first
    assert box.evaluate("element => element.scrollWidth > element.clientWidth") is (width == 390)
    labels = box.locator("tbody th").first
    before = labels.bounding_box()["x"]
    box.evaluate("element => element.scrollLeft = 200")
    assert labels.bounding_box()["x"] == before, "the label stays in sight"
    image = page.screenshot(path=tmp_path / f"{width}.png", full_page=True)
    assert int.from_bytes(image[16:20]) == width  # of the PNG's header


@pytest.mark.parametrize("width", [390, 1280])
def test_what_is_wider_than_its_box_says_so_until_its_end(visit: Callable[..., Any], width: int) -> None:
    page = visit(width)
    for kind in ("table.sortable", "svg"):
        box = page.locator(f"div.scroll:has({kind})").first
        hint = box.locator("xpath=following-sibling::p[1]")
        wide = box.evaluate("element => element.scrollWidth > element.clientWidth + 1")
        assert wide is (width == 390) and hint.is_visible() is wide
        assert box.get_attribute("data-more") == ("right" if wide else "")
        box.evaluate("element => element.scrollLeft = 9999")
        page.wait_for_function("box => box.dataset.more !== 'right'", arg=box.element_handle())
        assert box.get_attribute("data-more") == ("left" if wide else "")


def test_no_half_screen_stays_empty_beside_a_tall_figure(visit: Callable[..., Any]) -> None:
    page = visit(1280)
    bottoms = page.locator("figure").evaluate_all(
        "all => all.map(one => one.getBoundingClientRect()).map(box => [Math.round(box.left), box.top, box.bottom])"
    )
    columns = {left: [(top, bottom) for at, top, bottom in bottoms if at == left] for left, _, _ in bottoms}
    assert len(columns) == 2
    for figures in columns.values():
        gaps = [below[0] - above[1] for above, below in zip(figures, figures[1:], strict=False)]
        assert max(gaps, default=0) < 60, "figures of a column follow each other"
    ends = [max(bottom for _, bottom in figures) for figures in columns.values()]
    assert abs(ends[0] - ends[1]) < 400, "less than half of a screen of 800 pixels"


@pytest.mark.parametrize("width", [390, 1280])
def test_what_the_columns_mean_is_one_click_away(visit: Callable[..., Any], width: int) -> None:
    page = visit(width)
    meaning = page.locator(".glossary dd", has_text="mean over classes of average precision")
    assert not meaning.is_visible()
    page.get_by_text("What the columns mean").first.click()
    assert meaning.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    button = page.locator("table.sortable thead button", has_text="forgetting").first
    assert "a task's best mAP before the last task" in button.get_attribute("title")
