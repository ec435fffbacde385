"""The report's page in a headless Chromium: from disk, on a phone and on a desk, in the dark and on paper."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from experiments.plan import Plan
from experiments.report import write_comparison, write_report
from tests.support.report_folders import a_folder

pytestmark = pytest.mark.integration

PHONE, DESK = 390, 1440
LARGE = Plan(workers=tuple(range(1, 11)), batch_size=tuple(range(1, 129, 13)), with_mps=True, runs=10)
REPORTS = ("whole", "partial", "one-cell", "all-invalid", "large", "comparison")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of each of REPORTS."""
    folder = tmp_path_factory.mktemp("results")
    whole = a_folder(folder / "whole", ceilings=True)
    partial = a_folder(folder / "partial", trials=20)
    one = a_folder(folder / "one-cell", Plan(workers=(1,), batch_size=(1,), runs=1, noise_floor=False))
    invalid = a_folder(folder / "all-invalid", problems=lambda trial: ["12 answers were " + "5" * 200])
    large = a_folder(folder / "large", LARGE, ceilings=True)
    pages = [write_report(path) for path in (whole, partial, one, invalid, large)]
    pages.append(write_comparison([whole, partial], folder / "comparison"))
    return dict(zip(REPORTS, pages, strict=True))


def opened(browser: Browser, path: Path, width: int = DESK, **context: str) -> Page:
    """The page, opened from disk."""
    page = browser.new_page(viewport={"width": width, "height": 900}, **context)  # type: ignore[arg-type]
    page.goto(path.as_uri())
    return page


@pytest.mark.parametrize("name", REPORTS)
def test_it_opens_from_disk_without_a_request_or_a_complaint(
    browser: Browser, reports: dict[str, Path], name: str
) -> None:
    page = browser.new_page()
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(reports[name].as_uri())
    for heading in page.locator("th button:visible").all()[:3]:
        heading.click()
    assert requests == [reports[name].as_uri()]
    assert complaints == []
    assert reports[name].stat().st_size < 3e6
    page.close()


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("name", REPORTS)
def test_it_never_scrolls_sideways(browser: Browser, reports: dict[str, Path], name: str, width: int) -> None:
    page = opened(browser, reports[name], width)
    page.evaluate("for (const closed of document.querySelectorAll('details')) closed.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


@pytest.mark.parametrize("name", REPORTS)
def test_every_figure_has_its_text_alternative(browser: Browser, reports: dict[str, Path], name: str) -> None:
    page = opened(browser, reports[name])
    drawings = page.locator("figure svg[role=img]")
    assert drawings.count() == page.locator("figure .panel").count()
    assert (drawings.count() == 0) == (name == "all-invalid")
    described = drawings.evaluate_all(
        "all => all.map(one => ['aria-labelledby', 'aria-describedby'].map("
        "  which => document.getElementById(one.getAttribute(which)).textContent))"
    )
    assert all(title and re.search(r"\d", description) for title, description in described)
    named = page.locator("figure").get_by_role("img", name=re.compile(r"\w"))
    assert named.count() == drawings.count()
    page.close()


def column(page: Page, number: int) -> list[float]:
    texts = page.locator(f"#table-cells tbody td:nth-child({number})").all_inner_texts()
    return [float(text.replace(",", "").split()[0]) for text in texts]


def test_a_heading_sorts_and_pressed_again_the_other_way_round(
    browser: Browser, reports: dict[str, Path]
) -> None:
    page = opened(browser, reports["whole"])
    heading = page.locator("#table-cells th").nth(1)
    heading.get_by_role("button").click()
    assert column(page, 2) == sorted(column(page, 2), reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    heading.get_by_role("button").press("Enter")
    assert column(page, 2) == sorted(column(page, 2))
    assert heading.get_attribute("aria-sort") == "ascending"
    assert page.locator("#table-cells th[aria-sort]").count() == 1
    page.close()


def test_what_has_no_value_stays_at_the_end(browser: Browser, reports: dict[str, Path]) -> None:
    page = opened(browser, reports["partial"])
    button = page.locator("#table-cells").get_by_role("button", name="requests/s")
    for _ in range(2):
        button.click()
        texts = page.locator("#table-cells td:nth-child(4)").all_inner_texts()
        missing = [text == "\u2013" for text in texts]
        assert any(missing)
        assert missing == sorted(missing)
    page.close()


def test_it_is_dark_where_the_reader_wants_it_dark_and_light_on_paper(
    browser: Browser, reports: dict[str, Path]
) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    axis = "getComputedStyle(document.querySelector('figure svg text')).fill"
    light = opened(browser, reports["whole"])
    dark = opened(browser, reports["whole"], color_scheme="dark")
    assert light.evaluate(paper) != dark.evaluate(paper)
    assert light.evaluate(axis) != dark.evaluate(axis)
    dark.emulate_media(media="print")
    assert dark.evaluate(paper) == light.evaluate(paper)
    assert not dark.locator("nav").is_visible()
    light.close()
    dark.close()


def test_its_text_is_dark_enough_on_its_ground(browser: Browser, reports: dict[str, Path]) -> None:
    """WCAG 2.2, 1.4.3: a contrast of 4.5 at least, in both colour schemes."""
    for scheme in ("light", "dark"):
        page = opened(browser, reports["whole"], color_scheme=scheme)
        colours = page.evaluate(
            "['ink', 'muted', 'paper', 'band'].map(name => "
            "  getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim())"
        )
        ink, muted, paper, band = (_luminance(colour) for colour in colours)
        assert min(_contrast(text, ground) for text in (ink, muted) for ground in (paper, band)) >= 4.5
        page.close()


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)
