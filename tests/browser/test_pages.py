"""The pages, in a browser and with the keyboard: what a user did is found by looking, and nothing they sent runs."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Server, Start, Visit, drawn, user_of, wait_until

AXE = Path(__file__).parents[2] / ".tools/browser/node_modules/axe-core/axe.min.js"
EVIL = "<script>window.hurt=1</script>\"'><img src=x onerror=window.hurt=1>"


@pytest.fixture(scope="module")
def shop(start: Start) -> Server:
    """A server with a day of a small shop's traffic, and one user whose ids and properties are hostile."""
    server = start()
    command = [sys.executable, "-m", "footpath", "demo", "--url", server.url, "--actions", "3000", "--rate", "0"]
    subprocess.run([*command, "--users", "20", "--seed", "5"], check=True, capture_output=True)
    now = server.retrieve(logType="view", limit=1, order="desc").json()[0]["actions"][0]["time"]
    actions = [
        {"time": now, "type": "VIEW", "properties": {"viewedId": EVIL, "more": EVIL}},
        {"time": now, "type": "NAVIGATE", "properties": {"pageFrom": EVIL, "pageTo": EVIL}},
        {"time": now, "type": "CLICK", "properties": {"text": EVIL, "page": EVIL, "locationX": 5, "locationY": 5}},
    ]
    assert server.submit({"userId": EVIL, "sessionId": EVIL, "actions": actions}).status_code == 200
    return server


@pytest.fixture
def console(context: BrowserContext) -> Iterator[list[str]]:
    """Errors that any page writes to its console: broken policies among them."""
    wrong: list[str] = []
    context.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    yield wrong
    assert wrong == []


PAGES = ["", "?logType=view", "heatmap?page=home", "flows", "tail", "status", "users/{user}", "users/{evil}", "login"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
@pytest.mark.usefixtures("console")
def test_a_page_is_whole(shop: Server, visit: Visit, path: str, scheme: Literal["light", "dark"]) -> None:
    """Each page has a heading, a table where it has a chart, charts that are drawn, and no serious fault for axe."""
    page = visit("about:blank")
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{shop.url}/ui/{path.format(user=quote(user_of(shop)), evil=quote(EVIL, safe=''))}")
    expect(page.locator("h1")).to_be_visible()
    drawn(page)
    if page.locator("[data-chart]").count():
        assert page.locator("table").count() >= 1
    assert serious(page) == []
    assert page.evaluate("window.hurt") is None


def serious(page: Page) -> list[str]:
    """What axe finds that keeps people from using a page, with everything unfolded."""
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run().then(told => told.violations)")
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in {"serious", "critical"}]


@pytest.mark.usefixtures("console")
def test_from_an_id_to_what_they_did_by_keyboard(shop: Server, visit: Visit) -> None:
    """Typing an id and Enter shows the sessions and a timeline; the export has all of it."""
    user = user_of(shop)
    page = visit(f"{shop.url}/ui/")
    page.focus("#to-user")
    page.keyboard.type(user)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/ui/users/{quote(user)}")
    expect(page.locator("h1")).to_have_text(user)
    expect(page.locator(".timeline li").first).to_be_visible()
    assert "viewed" in page.inner_text("main")
    assert "went" in page.inner_text("main")
    exported = shop.client.get(f"/ui/users/{quote(user)}/export")
    assert exported.text == shop.retrieve(userId=user, accept="application/x-ndjson").text


@pytest.mark.usefixtures("console")
def test_the_live_tail_shows_what_comes(shop: Server, visit: Visit) -> None:
    """An action that is submitted while the page is open appears in it as text."""
    page = visit(f"{shop.url}/ui/tail?userId=live")
    expect(page.locator("#state")).to_contain_text("Following")
    action = {"time": "2026-11-25T10:00:00Z", "type": "VIEW", "properties": {"viewedId": EVIL}}
    assert shop.submit({"userId": "live", "sessionId": "s", "actions": [action]}).status_code == 200
    expect(page.locator("#tail")).to_contain_text(f"viewed {EVIL}", timeout=15_000)
    assert page.evaluate("window.hurt") is None


@pytest.mark.usefixtures("console")
def test_what_users_send_is_text(shop: Server, visit: Visit) -> None:
    """A script in ids, types and properties is text on each page, under a policy that would not run it."""
    path = quote(EVIL, safe="")
    shown = {
        f"users/{path}": ["h1", ".timeline"],
        f"users/{path}?session={path}": ["h1", "#sessions", ".timeline"],
        f"?userId={path}": ["td", "main"],
        f"?userId={path}&logType=view": ["td"],
        f"heatmap?page={path}": ["h2"],
        f"flows?userId={path}": ["td"],
        f"flows?userId={path}&fromTime=2001-01-01": ["td"],
        f"tail?userId={path}": [],
    }
    for address, places in shown.items():
        page = visit(f"{shop.url}/ui/{address}")
        assert page.locator("main img, main script").count() == 0
        for place in places:
            assert any(EVIL in text for text in page.locator(place).all_inner_texts()), f"{address}: {place}"
        assert page.evaluate("window.hurt") is None
        policy = shop.client.get(f"/ui/{address}").headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        page.close()


@pytest.mark.parametrize(
    "address", ["?logType={}", "?fromTime={}", "flows?fromTime={}", "tail/events?logType={}", "{}"]
)
def test_what_cannot_be_shown_is_told_as_text(shop: Server, visit: Visit, address: str) -> None:
    """A script in what a page refuses, or in an address of no page, is text in the refusal, if it is told at all."""
    page = visit(f"{shop.url}/ui/{address.format(quote(EVIL, safe=''))}")
    assert page.locator("main img, main script, body > img").count() == 0
    assert page.evaluate("window.hurt") is None


def test_forgetting_wants_the_id(shop: Server, visit: Visit) -> None:
    """Another word than the user's id forgets nobody; the id does, with a receipt; and no other site can ask for it."""
    action = {"time": "2026-11-25T10:00:00Z", "type": "VIEW"}
    assert shop.submit({"userId": "gone", "sessionId": "s", "actions": [action]}).status_code == 200
    elsewhere = {"origin": "https://elsewhere.example", "content-type": "application/x-www-form-urlencoded"}
    assert shop.client.post("/ui/users/gone/forget", content="confirm=gone", headers=elsewhere).status_code == 403
    page = visit(f"{shop.url}/ui/users/gone")
    page.fill("#confirm", "other")
    page.click("button.danger")
    expect(page.locator("h1")).to_have_text("Not forgotten")
    assert shop.retrieve(userId="gone").json() != []
    page.goto(f"{shop.url}/ui/users/gone")
    page.fill("#confirm", "gone")
    page.click("button.danger")
    expect(page.locator("h1")).to_have_text("Forgotten", timeout=30_000)
    assert shop.retrieve(userId="gone").json() == []


def test_with_keys_people_enter_with_one(start: Start, visit: Visit) -> None:
    """Without a key a page leads to the form; a key that writes does not open it, one that reads does."""
    server = start()
    keys = {}
    for role in ("write", "read"):
        command = [sys.executable, "-m", "footpath", "key", "create", "--role", role, "--name", role]
        made = subprocess.run([*command, "--data", str(server.data)], capture_output=True, text=True, check=True)
        keys[role] = made.stdout.split()[0]
    wait_until("keys are asked for", lambda: server.client.get("/api/counts").status_code == 401)
    page = visit(f"{server.url}/ui/status")
    for role in ("write", "read"):
        page.fill("#key", keys[role])
        page.keyboard.press("Enter")
        page.wait_for_load_state()
        expect(page.locator("[role=alert]")).to_have_count(1 if role == "write" else 0)
    page.wait_for_url("**/ui/status")
    assert "The newest rejects" not in page.inner_text("main")
    page.click("button.quiet")
    page.wait_for_url("**/ui/login")
    page.goto(f"{server.url}/ui/")
    assert "/ui/login" in page.url
