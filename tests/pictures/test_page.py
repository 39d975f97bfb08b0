"""The page in a real browser."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from pictures.examples import artifact, digits, execution, lineage, use

from cmf.pictures import to_html

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = Path("/usr/bin/chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture
def page() -> Iterator[object]:
    if not CHROMIUM.exists():
        told = "NO CHROMIUM, so pages are NOT TESTED: Debian's chromium is wanted at /usr/bin/chromium"
        if os.environ.get("CMF_REQUIRE_CHROMIUM") == "1":
            pytest.fail(told, pytrace=False)
        pytest.skip(told)
    with playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        yield browser.new_page(viewport={"width": 1400, "height": 800})
        browser.close()


def opened(page, tmp_path: Path, html: str) -> list[str]:
    """Open the page; the list takes up whatever goes wrong in it, and any request beyond the file."""
    wrong: list[str] = []
    file = tmp_path / "lineage.html"
    file.write_text(html, encoding="utf-8")
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: None if request.url == file.as_uri() else wrong.append(request.url))
    page.goto(file.as_uri())
    return wrong


def test_a_card_shows_its_details_and_traces_its_lineage(page, tmp_path) -> None:
    wrong = opened(page, tmp_path, to_html(digits()))
    assert page.locator("#panel").is_hidden()

    cards = page.locator(".card", has_text="C=10.0")
    cards.hover()
    assert page.locator(".card.lit .name").all_text_contents().count("train") == 1
    assert page.locator(".card.lit", has_text="model.pkl").count() == 1
    cards.click()
    panel = page.locator("#panel")
    assert panel.locator("h2").text_content() == "train"
    assert "max_iter" in panel.text_content()
    assert page.locator(".card.chosen").count() == 1

    page.locator(".card.root").focus()
    page.keyboard.press("Enter")
    assert panel.locator("h2").text_content() == "model.pkl"
    card, beside = page.locator(".card.root").bounding_box(), panel.bounding_box()
    assert card["x"] + card["width"] < beside["x"]  # the panel does not cover what it tells of

    page.keyboard.press("Escape")
    page.keyboard.press("0")
    assert panel.is_hidden()
    before = page.locator("#stage > svg").get_attribute("viewBox")
    page.mouse.move(700, 400)
    page.mouse.wheel(0, -400)
    page.wait_for_function(
        "before => document.querySelector('#stage > svg').getAttribute('viewBox') !== before", arg=before
    )
    page.mouse.down()
    page.mouse.move(600, 380)
    page.mouse.up()
    assert panel.is_hidden()  # dragging is no click
    page.keyboard.press("0")
    assert page.locator("#stage > svg").get_attribute("viewBox") == before
    assert wrong == []


def test_a_hostile_name_runs_nothing(page, tmp_path) -> None:
    name = "</script><img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
    one, run = artifact(name, name, properties={name: name}), execution("make", error=name)
    wrong = opened(page, tmp_path, to_html(lineage([one.key], [one, run], [use(run, one)])))
    page.locator(".card.root").click()
    assert page.locator("#panel h2").text_content() == name
    assert page.title() == f"Lineage of {name}"
    assert page.locator("img").count() == 0
    assert wrong == []
