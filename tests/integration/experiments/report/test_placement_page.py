"""The page of a placement in a headless Chromium: from disk, on a phone and on a desk, in the dark."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from experiments.report.placement import write_page
from tests.integration.experiments.report.test_report_page import opened
from tests.support.placings import of_hostile_names, of_many, of_slices, published

pytestmark = [pytest.mark.integration, pytest.mark.wide]

PHONE, DESK = 400, 1440
PAGES = ("many", "slices", "hostile", "measured")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of each of PAGES."""
    folder = tmp_path_factory.mktemp("placements")
    made = (of_many(), of_slices(), of_hostile_names(), published())
    return {name: write_page(folder / name, placing) for name, placing in zip(PAGES, made, strict=True)}


@pytest.mark.parametrize("name", PAGES)
def test_it_opens_from_disk_without_a_request_or_a_complaint(
    browser: Browser, pages: dict[str, Path], name: str
) -> None:
    page = browser.new_page()
    requests: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(pages[name].as_uri())
    for heading in page.locator("th button:visible").all()[:3]:
        heading.click()
    assert requests == [pages[name].as_uri()]
    assert complaints == []
    page.close()


@pytest.mark.parametrize("width", [PHONE, DESK])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_reaches_beyond_the_edge(
    browser: Browser, pages: dict[str, Path], name: str, width: int
) -> None:
    page = opened(browser, pages[name], width)
    page.evaluate("for (const closed of document.querySelectorAll('details')) closed.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # What is in a drawing is clipped by nothing: it has to be as narrow as the page by itself.
    right = page.locator("figure svg text").evaluate_all(
        "all => Math.max(...all.map(text => text.getBoundingClientRect().right))"
    )
    assert right <= width
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_what_is_written_in_a_part_ends_in_it(browser: Browser, pages: dict[str, Path], name: str) -> None:
    page = opened(browser, pages[name])
    beyond = page.locator("#figure-gpus svg").evaluate_all(
        """all => all.flatMap(svg => {
          const boxes = [...svg.querySelectorAll("path")].map(path => path.getBoundingClientRect());
          const texts = [...svg.querySelectorAll("text")].map(text => text.getBoundingClientRect());
          return texts.map(text => {
            const y = (text.top + text.bottom) / 2;
            const around = boxes.filter(box => box.left < text.left && box.right > text.left + 4
              && box.top < y && box.bottom > y);
            return around.length ? text.right - Math.min(...around.map(box => box.right)) : -1;
          });
        })"""
    )
    assert max(beyond) <= 1
    page.close()


def test_it_is_dark_where_the_reader_wants_it_dark(browser: Browser, pages: dict[str, Path]) -> None:
    box = "getComputedStyle(document.querySelector('#figure-gpus svg path')).fill"
    light, dark = (opened(browser, pages["many"], color_scheme=scheme) for scheme in ("light", "dark"))
    assert light.evaluate(box) != dark.evaluate(box)
    light.close()
    dark.close()
