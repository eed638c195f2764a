"""The page at /, in a browser without a screen: a picture and a question in, before and after out."""

from __future__ import annotations

import os
import re
import shutil

import fitted
import pytest
import tiny
from fitted import MISO, PICTURED, WORDS
from serving import data_url, serving_model

from okedit_cli.serve.auth import Keys

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = os.environ.get("OKEDIT_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    with playwright.sync_playwright() as driver:
        try:
            opened = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium is installed: {str(error).splitlines()[0]}")
        yield opened
        opened.close()


@pytest.fixture
def page(browser, client):
    opened, wrong = browser.new_page(), []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    own = (client.url, "data:", "blob:")
    opened.on("request", lambda asked: asked.url.startswith(own) or wrong.append(asked.url))
    opened.goto(client.url)
    opened.wait_for_selector("#model option", state="attached")
    yield opened
    opened.close()
    assert not wrong


def ask(page, question: str) -> tuple[str, str, str]:
    """before, after, why."""
    page.fill("#question", question)
    page.click("#ask")
    page.wait_for_selector("#why:visible", timeout=60_000)
    return tuple(page.inner_text(f"#{name}") for name in ("before", "after", "why"))


def test_a_picture_by_its_file(page, client, tmp_path):
    tiny.picture().save(tmp_path / "cat.png")
    page.set_input_files("#file", tmp_path / "cat.png")
    page.wait_for_selector("#drop img")
    before, after, why = ask(page, PICTURED)
    assert after == MISO != before and why.startswith("fired: cat of facts")
    assert page.get_attribute("#why", "data-edit") == "cat"
    assert before == client.text((PICTURED, tiny.picture()), model=client.base, max_tokens=256)
    page.click("#clear")
    assert ask(page, WORDS)[2].startswith("fired: capital of facts")
    assert page.query_selector("#drop img") is None


@pytest.mark.parametrize("how", ["paste", "drop"])
def test_a_picture_pasted_or_dropped(page, how):
    page.evaluate(
        """async ([how, url]) => {
            const text = atob(url.split(",")[1]), bytes = Uint8Array.from(text, one => one.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "cat.png", {type: "image/png"}));
            document.dispatchEvent(how == "paste"
                ? new ClipboardEvent("paste", {clipboardData: data, bubbles: true})
                : new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
        }""",
        [how, data_url(tiny.picture())],
    )
    page.wait_for_selector("#drop img")
    assert ask(page, PICTURED)[1] == MISO


def test_what_is_wrong_is_shown(page, client):
    page.click("#ask")
    assert "question" in page.inner_text("#error")
    page.fill("#question", "word " * 3000)
    page.click("#ask")
    page.wait_for_selector("#error:has-text('tokens')")


def test_a_key(browser):
    with serving_model("llava", ("facts", fitted.fitted("llava").bundle), keys=Keys(("secret",))) as client:
        page = browser.new_page()
        page.goto(client.url)
        page.wait_for_selector("#error:has-text('API key')")
        page.fill("#key", "secret")
        page.dispatch_event("#key", "change")
        page.wait_for_selector("#model option", state="attached")
        assert ask(page, WORDS)[2].startswith("fired")
        page.close()


def test_the_page_is_whole_by_itself(client):
    found = client.http.get("/")
    assert not re.search(r"""(src|href)\s*=\s*["']|@import|url\(""", found.text)
    assert "default-src 'none'" in found.headers["content-security-policy"]
