"""What a person does on a page with the tracker is what is stored: all of it, once, and nothing that they typed."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, Route

from tests.browser.conftest import Server, Site, Start, Visit, stored, wait_until

ACORN = Path(__file__).parents[2] / ".tools/browser/node_modules/acorn/bin/acorn"

BODY = """
<style>body{margin:0} #buy{position:absolute;left:40px;top:60px;width:100px;height:40px} #tall{height:2000px}</style>
<button id="buy">Buy <b>now</b></button>
<p id="text" style="position:absolute;left:200px;top:60px">Words of <span data-footpath-mask>Jane Doe</span> here</p>
<form style="position:absolute;left:40px;top:200px"><label>Name <input id="name" value="preset"></label>
<textarea id="note">draft</textarea><div id="rich" contenteditable>rich</div></form>
<a id="next" href="/two" style="position:absolute;left:400px;top:60px">Next</a>
<div id="tall"></div><section id="low" data-footpath-view="offer-7">An offer</section>
"""


def tag(server: Server, user: str, more: str = "") -> str:
    """The line of HTML that a site puts in."""
    return f'<script defer src="{server.url}/footpath.js" data-user="{user}" {more}></script>'


def types(actions: list[dict[str, Any]]) -> list[str]:
    """The types of actions, in order."""
    return [action["type"] for action in actions]


def flushed(page: Page) -> None:
    """Have the page send what waits, and wait for the answer."""
    page.evaluate("footpath.flush()")


def test_a_click_is_stored_as_it_was_done(server: Server, site: Site, visit: Visit) -> None:
    """A click has its place, page, sizes, element, text and the offset of the user's clock."""
    page = visit(site.put("/one", BODY, tag(server, "clicker")) + "?token=secret")
    page.mouse.click(50, 70)
    flushed(page)
    view, click = stored(server, userId="clicker", at_least=2)
    assert view["properties"] == {"viewedId": "/one", "page": "/one", "title": "A page", "referrer": ""}
    assert click["type"] == "CLICK"
    assert click["properties"] == {
        "locationX": 50,
        "locationY": 70,
        "page": "/one",
        "viewportWidth": 800,
        "viewportHeight": 600,
        "pageWidth": page.evaluate("document.documentElement.scrollWidth"),
        "pageHeight": page.evaluate("document.documentElement.scrollHeight"),
        "element": "button#buy",
        "text": "Buy now",
    }
    assert click["time"][-6:] in {"-06:00", "-07:00"}
    assert click["sessionId"] == view["sessionId"]


def test_what_is_typed_and_what_is_masked_is_never_sent(server: Server, site: Site, visit: Visit) -> None:
    """No value of a field, no editable text and no masked text leaves the page, whatever is clicked around it."""
    page = visit(site.put("/form", BODY, tag(server, "typist")))
    page.fill("#name", "typed-secret")
    page.fill("#note", "noted-secret")
    page.fill("#rich", "rich-secret")
    for selector in ("#name", "#note", "#rich", "label", "form", "#text span"):
        page.click(selector)
    page.click("#text", position={"x": 5, "y": 5})
    flushed(page)
    wait_until("clicks came", lambda: len(stored(server, userId="typist", logType="click")) >= 7)
    text = server.retrieve(userId="typist").text
    for secret in ("secret", "preset", "draft", "Jane"):
        assert secret not in text
    assert "Words of *** here" in text


def test_an_element_is_viewed_when_it_is_seen(server: Server, site: Site, visit: Visit) -> None:
    """An element with data-footpath-view is stored once it is half in sight, once, also if added later."""
    page = visit(site.put("/views", BODY, tag(server, "viewer")))
    flushed(page)
    assert [view["properties"]["viewedId"] for view in stored(server, userId="viewer", at_least=1)] == ["/views"]
    page.locator("#low").scroll_into_view_if_needed()
    page.wait_for_function("Object.values(localStorage).some(text => text.includes('offer-7'))")
    page.evaluate("scrollTo(0, 0)")
    page.evaluate(
        "document.body.insertAdjacentHTML('afterbegin', '<p data-footpath-view=\"late\" style=\"height:9px\">late</p>')"
    )
    page.wait_for_function("Object.values(localStorage).some(text => text.includes('\"late\"'))")
    page.locator("#low").scroll_into_view_if_needed()
    flushed(page)
    seen = [view["properties"]["viewedId"] for view in stored(server, userId="viewer", at_least=3)]
    assert seen == ["/views", "offer-7", "late"]


def test_a_link_is_a_navigation(server: Server, site: Site, visit: Visit) -> None:
    """Click, leave, arrive: stored in that order, though nobody flushed before the page went."""
    page = visit(site.put("/from", BODY, tag(server, "walker")))
    site.put("/two", "second", tag(server, "walker"))
    page.click("#next")
    page.wait_for_url("**/two")
    flushed(page)
    actions = stored(server, userId="walker", at_least=4)
    assert types(actions) == ["VIEW", "CLICK", "NAVIGATE", "VIEW"]
    assert actions[2]["properties"] == {"pageFrom": "/from", "pageTo": "/two"}
    page.reload()
    flushed(page)
    assert types(stored(server, userId="walker", at_least=5)) == ["VIEW", "CLICK", "NAVIGATE", "VIEW", "VIEW"]
    page.go_back()
    page.wait_for_url("**/from")
    flushed(page)
    last = stored(server, userId="walker", at_least=7)[5:]
    assert [action["properties"].get("pageTo", action["properties"].get("page")) for action in last] == [
        "/from",
        "/from",
    ]


def test_a_single_page_application_navigates(server: Server, site: Site, visit: Visit) -> None:
    """pushState, replaceState, back, and hashes are navigations; a view follows each."""
    page = visit(site.put("/app", BODY, tag(server, "single")))
    for step in (
        "history.pushState({}, '', '/app/a')",
        "history.replaceState({}, '', '/app/b')",
        "history.replaceState({}, '', '/app/b')",
        "location.hash = '#/c'",
    ):
        page.evaluate(step)
        page.wait_for_timeout(50)  # hashchange comes in a task of its own; what is asserted below is waited for
    page.evaluate("history.back()")
    page.wait_for_function("location.hash === ''")
    flushed(page)
    found = stored(server, userId="single", at_least=9)
    went = [
        (action["properties"]["pageFrom"], action["properties"]["pageTo"])
        for action in found
        if action["type"] == "NAVIGATE"
    ]
    assert went == [("/app", "/app/a"), ("/app/a", "/app/b"), ("/app/b", "/app/b#/c"), ("/app/b#/c", "/app/b")]
    assert [action["properties"]["page"] for action in found if action["type"] == "VIEW"] == [
        "/app",
        "/app/a",
        "/app/b",
        "/app/b#/c",
        "/app/b",
    ]


def test_closing_the_page_loses_nothing(server: Server, site: Site, visit: Visit) -> None:
    """What was done right before a tab is closed is stored."""
    page = visit(site.put("/close", BODY, tag(server, "closer")))
    for _ in range(5):
        page.mouse.click(50, 70)
    page.close(run_before_unload=True)
    assert types(stored(server, userId="closer", at_least=6)) == ["VIEW", *["CLICK"] * 5]


def test_fifty_actions_are_sent_at_once(server: Server, site: Site, visit: Visit) -> None:
    """At fifty actions nobody waits for the five seconds; a page sends no more than 64 KiB at a time."""
    page = visit(site.put("/many", BODY, tag(server, "many")))
    sizes: list[int] = []
    page.on("request", lambda request: sizes.append(len(request.post_data or "")) if request.method == "POST" else None)
    page.evaluate("for (let n = 0; n < 300; n++) footpath.track('view', { viewedId: String(n), pad: 'x'.repeat(400) })")
    views = stored(server, userId="many", at_least=301)
    assert sorted(int(view["properties"]["viewedId"]) for view in views[1:]) == list(range(300))
    assert max(sizes) < 64 * 1024


def test_a_lone_action_is_sent_after_five_seconds(server: Server, site: Site, context: BrowserContext) -> None:
    """One action waits for five seconds for others, and is sent then, though nobody asks for it."""
    page = context.new_page()
    page.clock.install()
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    page.goto(site.put("/lone", BODY, tag(server, "lone")))
    page.clock.run_for(4_500)
    assert sent == []
    page.clock.run_for(1_000)
    assert types(stored(server, userId="lone", at_least=1)) == ["VIEW"]
    assert len(sent) == 1


def test_a_busy_server_is_asked_again_later(server: Server, site: Site, context: BrowserContext) -> None:
    """After 429 the page waits as long as Retry-After says, after 503 and a broken connection longer each time."""
    page = context.new_page()
    page.clock.install()
    asked: list[str] = []
    shown = {"access-control-allow-origin": "*", "access-control-expose-headers": "Retry-After"}

    def answer(route: Route) -> None:
        asked.append(str(route.request.post_data))
        if len(asked) == 1:
            route.fulfill(status=429, headers=shown | {"retry-after": "60"})
        elif len(asked) == 2:
            route.fulfill(status=503, headers=shown)
        elif len(asked) == 3:
            route.abort()
        else:
            route.continue_()

    def after(seconds: float, requests: int) -> None:
        page.clock.run_for(1000 * seconds)
        page.wait_for_timeout(100)  # for a request that should not come
        wait_until(f"there are {requests} requests", lambda: len(asked) >= requests)
        assert len(asked) == requests

    page.route("**/api/submitlogs*", answer)
    page.goto(site.put("/busy", BODY, tag(server, "busy")))
    after(5.5, 1)
    after(55, 1)
    after(6, 2)
    after(4.5, 2)  # the second wait is of 5 to 10 seconds
    after(6, 3)
    after(9.5, 3)  # the third of 10 to 20
    after(11, 4)
    assert types(stored(server, userId="busy", at_least=1)) == ["VIEW"]
    assert len(set(asked)) == 1, "it is the same action with the same id each time"


def test_an_old_browser_leaves_with_a_beacon(server: Server, site: Site, context: BrowserContext) -> None:
    """Without fetch's keepalive a page that goes sends a beacon, under 64 KiB; the next page sends the rest, once."""
    context.add_init_script("delete Request.prototype.keepalive")
    context.add_init_script(
        "const send = navigator.sendBeacon.bind(navigator);"
        "navigator.sendBeacon = (url, body) => { sessionStorage.beacon = body.length; return send(url, body); };"
    )
    page = context.new_page()
    page.route("**/api/submitlogs*", lambda route: route.abort())
    page.goto(site.put("/old", BODY, tag(server, "old")))
    page.evaluate("for (let n = 0; n < 300; n++) footpath.track('view', { viewedId: String(n), pad: 'x'.repeat(400) })")
    flushed(page)
    page.unroute("**/api/submitlogs*")
    page.goto(site.put("/old/next", BODY, tag(server, "old")))
    assert 10_000 < page.evaluate("Number(sessionStorage.beacon)") < 64 * 1024
    found = stored(server, userId="old", logType="view", at_least=302)
    assert sorted(int(view["properties"]["viewedId"]) for view in found if "pad" in view["properties"]) == list(
        range(300)
    )
    assert len(found) == 302


def test_offline_and_back(server: Server, site: Site, visit: Visit, context: BrowserContext) -> None:
    """What is done offline waits, and is stored once when the browser is online again."""
    page = visit(site.put("/offline", BODY, tag(server, "offline")))
    flushed(page)
    context.set_offline(True)
    for _ in range(3):
        page.mouse.click(50, 70)
    flushed(page)
    assert types(stored(server, userId="offline", at_least=1)) == ["VIEW"]
    context.set_offline(False)
    assert types(stored(server, userId="offline", at_least=4)) == ["VIEW", *["CLICK"] * 3]


def test_the_queue_survives_a_reload_while_the_server_is_down(start: Start, site: Site, visit: Visit) -> None:
    """Actions that no server took are sent by the next page, once, and the storage is empty then."""
    server = start()
    page = visit(site.put("/down", BODY, tag(server, "patient")))
    flushed(page)
    port = server.port
    server.stop()
    page.mouse.click(50, 70)
    flushed(page)
    again = start(server.data, arguments=["--port", str(port)])
    page.reload()
    flushed(page)
    actions = stored(again, userId="patient", at_least=3)
    assert types(actions) == ["VIEW", "CLICK", "VIEW"]
    page.wait_for_function("!Object.keys(localStorage).some(key => key.startsWith('footpath.queue'))")


def test_a_lost_answer_stores_nothing_twice(server: Server, site: Site, visit: Visit) -> None:
    """A request that arrived though its answer did not is sent again, and its actions are stored once."""
    page = visit(site.put("/lost", BODY, tag(server, "unlucky")))
    flushed(page)
    lost: list[int] = []

    def lose(route: Any) -> None:
        lost.append(route.fetch().status)
        route.abort()

    page.route("**/api/submitlogs*", lose, times=1)
    page.mouse.click(50, 70)
    flushed(page)
    flushed(page)
    assert lost == [200]
    page.mouse.click(50, 70)
    flushed(page)
    wait_until(
        "it was sent again",
        lambda: page.evaluate("!Object.keys(localStorage).some(key => key.startsWith('footpath.queue'))"),
    )
    assert types(stored(server, userId="unlucky", at_least=3)) == ["VIEW", "CLICK", "CLICK"]


def test_who_did_it(server: Server, site: Site, visit: Visit) -> None:
    """Before identify it is a random user of the browser; after it, and on the next page, the named one."""
    url = site.put("/who", BODY, f'<script defer src="{server.url}/footpath.js"></script>')
    page = visit(url)
    anonymous = page.evaluate("localStorage['footpath.anonymous']")
    assert re.fullmatch("anonymous-[0-9a-f]{24}", anonymous)
    page.evaluate("footpath.identify('Jane')")
    page.mouse.click(50, 70)
    page.goto(url)
    page.evaluate("footpath.identify(null)")
    page.mouse.click(50, 70)
    flushed(page)
    assert types(stored(server, userId=anonymous, at_least=2)) == ["VIEW", "CLICK"]
    assert types(stored(server, userId="Jane", at_least=2)) == ["CLICK", "VIEW"]


def test_a_session_ends_after_thirty_idle_minutes(server: Server, site: Site, context: BrowserContext) -> None:
    """Two tabs share a session; after half an hour without an action another begins, and not before."""
    url = site.put("/session", BODY, tag(server, "sessions"))
    first = context.new_page()
    first.clock.install()
    first.goto(url)
    second = context.new_page()
    second.goto(url)
    flushed(second)
    first.clock.fast_forward("29:00")
    first.mouse.click(50, 70)
    first.clock.fast_forward("29:00")
    first.mouse.click(50, 70)
    first.clock.fast_forward("31:00")
    first.mouse.click(50, 70)
    flushed(first)
    sessions = [action["sessionId"] for action in stored(server, userId="sessions", at_least=5)]
    assert [sessions.index(session) for session in sessions] == [0, 0, 0, 0, 4]


@pytest.mark.parametrize("wish", ["{doNotTrack: '1'}", "{globalPrivacyControl: true}"])
def test_who_does_not_want_it_is_not_tracked(server: Server, site: Site, browser: Browser, wish: str) -> None:
    """With Do Not Track or Global Privacy Control nothing is sent or kept, and the page's own calls still work."""
    context = browser.new_context()
    define = "Object.defineProperty(navigator, name, {get: () => value})"
    context.add_init_script(f"for (const [name, value] of Object.entries({wish})) {define}")
    page = context.new_page()
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    page.goto(site.put("/private", BODY, tag(server, "private")))
    page.mouse.click(50, 70)
    page.evaluate("footpath.identify('me'); footpath.track('view', {}); footpath.flush()")
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0
    context.close()
    assert sent == []
    assert stored(server, userId="private") == []


def test_a_module_does_the_same(server: Server, site: Site, visit: Visit) -> None:
    """`import` gives a function that starts the tracker with options."""
    script = f"import start from '{server.url}/footpath.mjs'; window.footpath = start({{ user: 'module' }});"
    page = visit(site.put("/module", BODY, f'<script type="module">{script}</script>'))
    page.wait_for_function("window.footpath")
    page.mouse.click(50, 70)
    flushed(page)
    assert types(stored(server, userId="module", at_least=2)) == ["VIEW", "CLICK"]


def test_a_key_of_this_site_writes_and_another_sites_does_not(start: Start, site: Site, visit: Visit) -> None:
    """With keys, data-key lets pages of its origin write; pages of others are refused, say so once, and stop."""
    server = start()
    keys = {}
    for name, origin in (("here", site.url), ("elsewhere", "https://elsewhere.example")):
        command = [sys.executable, "-m", "footpath", "key", "create", "--role", "write", "--name", name]
        command += ["--origin", origin, "--data", str(server.data)]
        keys[name] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    command = [sys.executable, "-m", "footpath", "key", "create", "--role", "read", "--name", "r"]
    read = subprocess.run(
        [*command, "--data", str(server.data)], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    server.client.headers["x-api-key"] = read
    page = visit(site.put("/keyed", BODY, tag(server, "keyed", f'data-key="{keys["here"]}"')))
    page.mouse.click(50, 70)
    flushed(page)
    assert types(stored(server, userId="keyed", at_least=2)) == ["VIEW", "CLICK"]
    refused = visit(site.put("/refused", BODY, tag(server, "refused", f'data-key="{keys["elsewhere"]}"')))
    flushed(refused)
    refused.mouse.click(50, 70)
    flushed(refused)
    assert stored(server, userId="refused") == []
    assert "CLICK" in refused.evaluate("JSON.stringify(localStorage)")


def test_names_can_be_changed(start: Start, site: Site, visit: Visit) -> None:
    """Under other paths, which no ad blocker knows, script, module and submitting work, and the old script is gone."""
    server = start(
        environment={"FOOTPATH_TRACKER_PATH": "/assets/way.js", "FOOTPATH_TRACKER_SUBMIT_PATH": "/assets/in"}
    )
    page = visit(
        site.put(
            "/renamed",
            BODY,
            f'<script defer src="{server.url}/assets/way.js" data-user="renamed" data-name="way"></script>',
        )
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.mouse.click(50, 70)
    page.evaluate("way.flush()")
    assert types(stored(server, userId="renamed", at_least=2)) == ["VIEW", "CLICK"]
    assert asked == [f"{server.url}/assets/in"]
    assert server.client.get("/assets/way.mjs").status_code == 200
    assert server.client.get("/footpath.js").status_code == 404


@pytest.mark.parametrize(
    ("path", "year"), [("/footpath.js", ["--ecma2018"]), ("/footpath.mjs", ["--ecma2020", "--module"])]
)
def test_old_browsers_can_read_it(server: Server, tmp_path: Path, path: str, year: list[str]) -> None:
    """The script is JavaScript of 2018; the module of 2020, since it asks for its own address."""
    file = tmp_path / "tracker"
    file.write_bytes(server.client.get(path).content)
    subprocess.run(["node", ACORN, *year, "--silent", file], check=True)


def test_what_is_not_an_action_is_told_to_the_developer(server: Server, site: Site, visit: Visit) -> None:
    """A type that footpath does not know is named in the console."""
    page = visit(site.put("/typo", BODY, tag(server, "typo")))
    with page.expect_console_message(lambda message: message.type == "warning" and "rejected" in message.text):
        page.evaluate("footpath.track('clik', {}); footpath.flush()")
