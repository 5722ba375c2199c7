"""Each page's main job is done with the keyboard alone: no pointer is moved, pressed or asked for."""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Server, Start, Visit, drawn, user_of, wait_until

MOST_TABS = 80


@pytest.fixture(scope="module")
def shop(start: Start) -> Server:
    """A server with a day of a small shop's traffic."""
    server = start()
    command = [sys.executable, "-m", "footpath", "demo", "--url", server.url, "--actions", "2000", "--rate", "0"]
    subprocess.run([*command, "--users", "20", "--seed", "5"], check=True, capture_output=True)
    return server


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until something has the focus; it must get there, and be seen to have it."""
    element = target.element_handle()
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        if page.evaluate("element => element === document.activeElement", element):
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", "nobody sees where the focus is"
            return
    raise AssertionError(f"{MOST_TABS} times Tab do not lead to {target}")


def query_of(page: Page) -> dict[str, list[str]]:
    """The parameters of the page's address."""
    return parse_qs(urlsplit(page.url).query)


def test_search(shop: Server, visit: Visit) -> None:
    """Fields and types are filled in and sent with Enter, and a result leads to its user."""
    user = user_of(shop)
    page = visit(f"{shop.url}/ui/")
    tab_to(page, page.locator("#user"))
    page.keyboard.type(user)
    tab_to(page, page.locator("input[name=logType][value=navigate]"))
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/?*")
    assert query_of(page) == {"userId": [user], "logType": ["navigate"]}
    assert set(page.locator("td .type").all_inner_texts()) == {"navigate"}
    tab_to(page, page.locator("td a").first)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/ui/users/{quote(user)}")


def test_a_time_is_chosen_on_the_histogram(shop: Server, visit: Visit) -> None:
    """Two sliders do what dragging over the chart does: say the time, mark it, and search for it at Enter."""
    page = visit(f"{shop.url}/ui/?logType=view")
    drawn(page)
    before = page.locator("#over-time").inner_text()
    tab_to(page, page.locator("#brush-first"))
    page.keyboard.press("End")
    for _ in range(24):
        page.keyboard.press("ArrowLeft")
    said = page.get_attribute("#brush-first", "aria-valuetext")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", str(said))
    expect(page.locator("#brush-chosen")).to_contain_text(str(said))
    page.keyboard.press("Enter")
    page.wait_for_url("**fromTime*")
    asked = query_of(page)
    assert asked["logType"] == ["view"]
    assert asked["fromTime"] == [str(said).replace(" UTC", "Z").replace(" ", "T")]
    assert asked["toTime"] > asked["fromTime"]
    expect(page.locator("#over-time")).not_to_have_text(before)


def test_a_bucket_of_the_histogram_is_followed(shop: Server, visit: Visit) -> None:
    """The table of the chart's numbers opens, and a time in it leads to its actions, so many as it says."""
    page = visit(f"{shop.url}/ui/?logType=view&logType=click")
    tab_to(page, page.locator(".numbers summary"))
    page.keyboard.press("Enter")
    row = page.locator(".numbers tbody tr").first
    total = sum(int(text.replace(",", "")) for text in row.locator("td").all_inner_texts())
    tab_to(page, row.locator("a"))
    page.keyboard.press("Enter")
    page.wait_for_url("**fromTime*")
    assert sorted(query_of(page)["logType"]) == ["click", "view"]
    expect(page.locator("#over-time")).to_contain_text(f"{total:,} action")


def test_a_day_of_a_user_is_picked(shop: Server, visit: Visit) -> None:
    """A day typed into the picker shows that day's sessions; all days are a link away."""
    user = user_of(shop)
    last = shop.client.get("/api/sessions", params={"userId": user, "limit": "1"}).json()["sessions"][0]
    day = last["start"][:10]
    page = visit(f"{shop.url}/ui/users/{quote(user)}")
    tab_to(page, page.locator("#day"))
    year, month, date = day.split("-")
    page.keyboard.type(month + date + year)
    assert page.input_value("#day") == day
    page.keyboard.press("Enter")
    page.wait_for_url(f"**day={day}")
    expect(page.locator("#sessions")).to_contain_text(day)
    expect(page.locator(".timeline li").first).to_be_visible()
    tab_to(page, page.get_by_role("link", name="All days"))
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/ui/users/{quote(user)}")


def test_a_user_is_exported(shop: Server, visit: Visit) -> None:
    """Enter on the export downloads a file with every action of the user."""
    user = user_of(shop)
    page = visit(f"{shop.url}/ui/users/{quote(user)}")
    tab_to(page, page.get_by_role("link", name="Export"))
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    file = download.value.path()
    assert download.value.suggested_filename == f"{user}.ndjson"
    assert Path(file).read_text(encoding="utf-8") == shop.retrieve(userId=user, accept="application/x-ndjson").text


def test_a_user_is_forgotten(shop: Server, visit: Visit) -> None:
    """The id typed in and Enter forget the user; without it nothing is sent."""
    action = {"time": "2026-11-25T10:00:00Z", "type": "VIEW"}
    assert shop.submit({"userId": "keyed away", "sessionId": "s", "actions": [action]}).status_code == 200
    page = visit(f"{shop.url}/ui/users/keyed%20away")
    tab_to(page, page.locator("#confirm"))
    page.keyboard.press("Enter")
    assert page.url.endswith("/ui/users/keyed%20away")
    page.keyboard.type("keyed away")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Forgotten", timeout=30_000)
    assert shop.retrieve(userId="keyed away").json() == []


def test_a_heatmap_is_asked_for(shop: Server, visit: Visit) -> None:
    """A page typed in and Enter show where its clicks are, on a chart and in a table that scrolls by key."""
    page = visit(f"{shop.url}/ui/heatmap")
    tab_to(page, page.locator("#page"))
    page.keyboard.press("Control+a")
    page.keyboard.type("home")
    page.keyboard.press("Escape")  # the list of pages that are offered
    page.keyboard.press("Enter")
    page.wait_for_url("**page=home*")
    expect(page.locator("#heat")).to_contain_text("clicks on home")
    drawn(page)
    tab_to(page, page.get_by_role("region", name="Places with most clicks"))


def test_flows_lead_on(shop: Server, visit: Visit) -> None:
    """The ways of a time that was typed in are listed, and a page in them leads to its heatmap."""
    page = visit(f"{shop.url}/ui/flows")
    tab_to(page, page.locator("#from"))
    page.keyboard.press("Control+a")
    page.keyboard.type("2001-01-01")
    page.keyboard.press("Enter")
    page.wait_for_url("**fromTime=2001-01-01*")
    expect(page.locator("#ways")).to_contain_text("navigations")
    tab_to(page, page.locator("td a").first)
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/heatmap?*")


def test_the_live_tail_is_held_and_let_go(shop: Server, visit: Visit) -> None:
    """Space on the button holds what comes back and says how much; Space again shows it, newest first."""
    page = visit(f"{shop.url}/ui/tail?userId=held")
    expect(page.locator("#state")).to_contain_text("Following")

    def come(name: str) -> None:
        action = {"time": "2026-11-25T10:00:00-07:00", "type": "VIEW", "properties": {"viewedId": name}}
        assert shop.submit({"userId": "held", "sessionId": "s", "actions": [action]}).status_code == 200

    come("first")
    expect(page.locator("#tail")).to_contain_text("viewed first", timeout=15_000)
    tab_to(page, page.locator("#pause"))
    page.keyboard.press("Space")
    expect(page.locator("#pause")).to_have_attribute("aria-pressed", "true")
    come("second")
    expect(page.locator("#state")).to_have_text("Paused: 1 more came", timeout=15_000)
    assert "second" not in page.inner_text("#tail")
    page.keyboard.press("Space")
    expect(page.locator("#tail tr").first).to_contain_text("viewed second")
    tab_to(page, page.locator("#tail a").first)
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/users/held")


def test_the_live_tail_says_what_search_says(shop: Server, visit: Visit) -> None:
    """An action reads the same as it comes and when it is found: its time, type, words and the rest of it."""
    page = visit(f"{shop.url}/ui/tail?userId=alike")
    expect(page.locator("#state")).to_contain_text("Following")
    properties = [
        ("NAVIGATE", {"pageFrom": "a", "pageTo": "b", "why": [1]}),
        ("VIEW", {"title": "T", "page": "/p"}),
        ("CLICK", {"text": "Buy", "locationX": 5, "locationY": 6.5, "page": "/p", "colour": "red"}),
        ("CLICK", {}),
    ]
    actions = [
        {"time": f"2026-11-25T10:00:0{place}+05:30", "type": kind, "properties": told}
        for place, (kind, told) in enumerate(properties)
    ]
    assert shop.submit({"userId": "alike", "sessionId": "s", "actions": actions}).status_code == 200
    rows = page.locator("#tail tr")
    expect(rows).to_have_count(4, timeout=15_000)
    came = rows.all_inner_texts()
    page.goto(f"{shop.url}/ui/?userId=alike")
    assert page.locator("[aria-label='Actions found'] tbody tr").all_inner_texts() == came
    assert "2026-11-25 10:00 UTC+05:30" in came[0]
    assert json.dumps({"colour": "red"}) in came[1]


def test_status_is_read(shop: Server, visit: Visit) -> None:
    """From the front page the link to the status leads to its numbers, which stand under headings."""
    page = visit(f"{shop.url}/ui/")
    tab_to(page, page.get_by_role("link", name="Status"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/ui/status")
    expect(page.locator("h1")).to_have_text("All is well")
    wait_until("all headings are there", lambda: page.get_by_role("heading", level=2).count() >= 4)


def test_the_content_is_one_key_away(shop: Server, visit: Visit) -> None:
    """The first Tab on each page reaches a link that skips what all pages have."""
    for path in ("/ui/", "/ui/heatmap", "/ui/flows", "/ui/tail", "/ui/status"):
        page = visit(shop.url + path)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("location.hash") == "#main"
        page.close()


def test_sessions_are_told_by_the_users_own_clock(shop: Server, visit: Visit) -> None:
    """A session begins by the same clock as its first action, and its distance from UTC is told."""
    actions = [
        {"time": f"2026-11-24T22:5{minute}:00-07:00", "type": "VIEW", "properties": {"viewedId": "x"}}
        for minute in range(3)
    ]
    assert shop.submit({"userId": "clock", "sessionId": "s", "actions": actions}).status_code == 200
    page = visit(f"{shop.url}/ui/users/clock")
    expect(page.locator("details.session .when")).to_have_text("2026-11-24 22:50 UTC-07:00")
    expect(page.locator(".timeline time").first).to_have_text("22:50:00")
    page.goto(f"{shop.url}/ui/?userId=clock")
    expect(page.locator("td time").last).to_have_text("2026-11-24 22:50 UTC-07:00")
