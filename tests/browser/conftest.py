"""A real Chromium, a site of another origin, and the real footpath process that its pages send to.

Imports nothing of footpath. Every page that a test opens must end without an error in its console.
"""

import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.system.conftest import Server, Start, server, start, wait_until

__all__ = ["Server", "Site", "Start", "Visit", "drawn", "server", "start", "stored", "user_of", "wait_until"]

FLAGS = [
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Site:
    """A web site on a port of its own: pages by path."""

    def __init__(self, url: str) -> None:
        """At an address."""
        self.url = url
        self.pages: dict[str, str] = {}

    def put(self, path: str, body: str, head: str) -> str:
        """Add a page; its address."""
        self.pages[path] = (
            f'<!doctype html><html lang="en"><head>{head}<title>A page</title></head><body>{body}</body></html>'
        )
        return self.url + path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without a window."""
    chromium = shutil.which("chromium")
    assert chromium is not None, "run `make browser-tools`"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A site that is none of footpath's."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = made.pages.get(urlsplit(self.path).path)
            body = (page or "").encode()
            self.send_response(404 if page is None else 200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing to tell."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        made = Site(f"http://127.0.0.1:{serving.server_port}")
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield made
        serving.shutdown()
        thread.join()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser without a past, in a window of a known size."""
    context = browser.new_context(viewport={"width": 800, "height": 600}, timezone_id="America/Denver")
    yield context
    context.close()


Visit = Callable[[str], Page]


@pytest.fixture
def visit(context: BrowserContext) -> Iterator[Visit]:
    """Opens an address in a new tab; errors of its scripts fail the test."""
    wrong: list[str] = []

    def opened(url: str) -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(url)
        return page

    yield opened
    assert wrong == []


def stored(server: Server, *, at_least: int = 0, **filters: Any) -> list[dict[str, Any]]:
    """The stored actions in time order, when there are so many."""
    query = filters or {"logType": ["click", "view", "navigate"]}
    found: list[dict[str, Any]] = []

    def enough() -> bool:
        answer = server.retrieve(accept="application/json", **query)
        assert answer.status_code == 200, answer.text
        batches = answer.json()
        found[:] = [
            {"userId": batch["userId"], "sessionId": batch["sessionId"], **action}
            for batch in batches
            for action in batch["actions"]
        ]
        return len(found) >= at_least

    wait_until(f"{at_least} actions are stored", enough)
    return sorted(found, key=lambda action: str(action["time"]))


def user_of(shop: Server) -> str:
    """A user of the shop."""
    return str(shop.retrieve(logType="view", limit=1).json()[0]["userId"])


def drawn(page: Page) -> None:
    """Wait until every chart of a page is drawn."""
    page.wait_for_function(
        "document.querySelectorAll('[data-chart]').length === document.querySelectorAll('[data-drawn] canvas').length"
    )
