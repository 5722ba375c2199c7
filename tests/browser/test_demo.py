"""`footpath serve --demo`, as `make demo` starts it: full pages at once, and nothing is left of it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visit, drawn, wait_until

MADE_WITHIN = 120.0  # s: making and importing a week takes a few


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a demo that is ready; when it is told to end, it does, and its folder is gone."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "footpath", "serve", "--demo", "--port", "0", "--log", "json"]
    log = folder / "log"
    (folder / "tmp").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FOOTPATH_")}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environment | {"TMPDIR": str(folder / "tmp")}, stdout=out, stderr=out, start_new_session=True
        )

    def serving() -> str | None:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
        return next((line["url"] for line in lines if line.get("event") == "serving"), None)

    try:
        wait_until("the demo serves", serving, MADE_WITHIN)
        url = str(serving())
        wait_until("it is ready", lambda: is_ready(url))
        yield url
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert list((folder / "tmp").iterdir()) == []
    finally:
        process.kill()
        process.wait()


def is_ready(url: str) -> bool:
    """Whether a server says that it is."""
    try:
        return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def charted(page: Page) -> list[dict[str, Any]]:
    """The values of the one chart of a page, which is drawn, and on which there is something to see."""
    drawn(page)
    chart = page.locator("[data-chart]")
    colours = chart.locator("canvas").evaluate(
        "canvas => new Set(new Uint32Array(canvas.getContext('2d')"
        ".getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size"
    )
    assert colours > 3
    values: list[dict[str, Any]] = json.loads(str(chart.get_attribute("data-chart")))["data"]["values"]
    return values


def rows(place: Locator) -> list[str]:
    """The rows of the body of a table, as text; none is empty."""
    texts = [str(text) for text in place.locator("tbody tr").all_text_contents()]
    assert all(text.strip() for text in texts)
    return texts


def test_search_has_a_week(demo: str, visit: Visit) -> None:
    """The histogram spans the last week with thousands of actions of all types, and a search finds a page of them."""
    page = visit(f"{demo}/ui/?logType=click&logType=view&logType=navigate")
    values = charted(page)
    assert {value["type"] for value in values} == {"CLICK", "VIEW", "NAVIGATE"}
    assert len({value["time"][:10] for value in values}) >= 6
    assert sum(value["actions"] for value in values) > 10_000
    assert len(rows(page.locator(".numbers"))) >= 100
    assert len(rows(page.locator("[aria-label='Actions found']"))) == 50


def test_a_user_has_days_and_sessions(demo: str, visit: Visit) -> None:
    """A user who is found has days on a chart, sessions with a timeline in words, and pauses between them."""
    page = visit(f"{demo}/ui/?logType=navigate")
    page.locator("td a").first.click()
    expect(page.locator("details.session").first).to_be_visible()
    assert charted(page)
    assert page.locator("details.session").count() >= 2
    assert page.locator(".apart").count() >= 1
    said = page.locator(".timeline .said").all_text_contents()
    assert any(text.startswith("went ") for text in said)
    assert any(text.startswith("clicked ") for text in said)
    assert not any("undefined" in text or "null" in text for text in said)


def test_a_heatmap_has_clicks(demo: str, visit: Visit) -> None:
    """The page that most people went to is offered at once, with hundreds of clicks on its grid and in its table."""
    page = visit(f"{demo}/ui/heatmap")
    values = charted(page)
    assert sum(value["clicks"] for value in values) > 100
    assert len(rows(page.locator("main"))) == 40
    assert page.locator("datalist option").count() >= 5


def test_flows_have_ways(demo: str, visit: Visit) -> None:
    """The last day has ways from page to page, on the chart and in the table, which agree."""
    page = visit(f"{demo}/ui/flows")
    values = charted(page)
    listed = rows(page.locator("main"))
    assert len(listed) == len(values) >= 10
    top = max(values, key=lambda value: int(value["count"]))
    assert listed[0] == f"{top['from']}{top['to']}{top['count']:,}"


def test_the_live_tail_shows_what_comes(demo: str, visit: Visit) -> None:
    """What is sent while somebody looks is there."""
    page = visit(f"{demo}/ui/tail")
    expect(page.locator("#state")).to_contain_text("Following")
    action = {"time": "2026-11-25T10:00:00Z", "type": "VIEW", "properties": {"viewedId": "live"}}
    body = {"userId": "u", "sessionId": "s", "actions": [action]}
    assert httpx.post(f"{demo}/api/submitlogs", json=body, trust_env=False).status_code == 200
    expect(page.locator("#tail")).to_contain_text("viewed live", timeout=15_000)


def test_status_has_numbers(demo: str, visit: Visit) -> None:
    """All is well, and what is stored is told."""
    page = visit(f"{demo}/ui/status")
    expect(page.locator("h1")).to_have_text("All is well")
    told = dict(zip(page.locator("dt").all_text_contents(), page.locator("dd").all_text_contents(), strict=True))
    assert int(told["actions in parts"].replace(",", "")) + int(told["actions waiting"].replace(",", "")) > 10_000
