"""A report of hostile names in a real browser: nothing of them runs, and what would run is forbidden."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from experiments.report import show
from experiments.results import read
from experiments.verdict import judge
from tests.integration.experiments.report.conftest import browser as browser
from tests.integration.security.test_ports import elsewhere as elsewhere
from tests.security.test_hostile_results import CLOSING, TAG, named

pytestmark = [pytest.mark.integration, pytest.mark.wide]


@pytest.mark.parametrize("name", [TAG, CLOSING])
def test_names_do_not_run(browser: Browser, tmp_path: Path, name: str) -> None:
    page = browser.new_page()
    heard: list[str] = []
    page.on("dialog", lambda dialog: heard.append(dialog.message))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("console", lambda message: heard.append(message.text))
    page.goto(show(judge(read(named(name)(tmp_path / "hostile")))).as_uri())
    page.locator("th button:visible").first.click()
    assert page.locator("th[aria-sort]").count() == 1  # our own script does
    assert heard == []
    page.close()


@pytest.mark.parametrize("policy", [True, False])
def test_a_tag_that_were_to_get_through_does_not_run_and_loads_nothing(
    browser: Browser, tmp_path: Path, elsewhere: tuple[str, list[bytes]], policy: bool
) -> None:
    """Without the page's policy it does both, which shows that the test would see it."""
    where, heard = elsewhere
    path = show(judge(read(named("plain")(tmp_path / "run"))))
    tags = (
        "<script>document.title = 'pwned'</script>"
        "<img src=x onerror=\"document.title = 'pwned'\">"
        f"<img src='http://{where}/leak'><iframe src='http://{where}/'></iframe>"
        f"<form id=f action='http://{where}/'></form>"
        "<a id=a href=\"javascript:document.title = 'pwned'\">x</a>"
    )
    text = path.read_text("utf-8").replace("<main>", f"<main>{tags}")
    path.write_text(text if policy else text.replace("Content-Security-Policy", "nothing"), "utf-8")
    page = browser.new_page()
    page.goto(path.as_uri(), wait_until="domcontentloaded")
    if policy:
        page.locator("#a").click()
        page.evaluate("document.getElementById('f').submit()")
        page.wait_for_timeout(300)
        assert heard == []
    assert (page.title() == "pwned") != policy
    page.close()
