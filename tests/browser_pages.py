"""Pages of files in a headless Chromium that has no network."""

import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = shutil.which("chromium")
_MILLISECONDS = 20_000


@contextmanager
def opened(path):
    """The page of a file; afterwards, that nothing was complained about or asked for elsewhere."""
    if CHROMIUM is None:
        pytest.skip("no chromium on the PATH; install it (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-quic"],
            timeout=3 * _MILLISECONDS,
        )
        try:
            context = browser.new_context(offline=True, viewport={"width": 1200, "height": 800})
            context.set_default_timeout(_MILLISECONDS)
            page = context.new_page()
            complaints, requests = [], []
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
            page.on("request", lambda request: requests.append(request.url))
            page.goto(path.resolve().as_uri(), wait_until="load")
            yield page
        finally:
            browser.close()
    assert complaints == []
    assert requests
    assert {url.partition(":")[0] for url in requests} <= {"file", "data"}


def images(page):
    """Natural width and height of every image of a page, once they are decoded."""
    return page.evaluate(
        """async () => {
            const found = [...document.querySelectorAll("img")];
            await Promise.all(found.map((image) => image.decode()));
            return found.map((image) => [image.naturalWidth, image.naturalHeight]);
        }"""
    )


def clipped(page):
    """Elements of a page that are wider than what is around them shows."""
    return page.evaluate(
        """() => [document.documentElement, ...document.querySelectorAll(".table, figure")]
            .filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.outerHTML)"""
    )
