"""The pages as a stranger meets them who speaks HTTP by hand: every page with every key, and forms of other sites."""

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from tests.browser.conftest import Server, Start

PAGES = {
    ("GET", "/ui/"): "read",
    ("GET", "/ui/user?userId=u"): "read",
    ("GET", "/ui/users/u"): "read",
    ("GET", "/ui/users/u/export"): "read",
    ("GET", "/ui/heatmap"): "read",
    ("GET", "/ui/flows"): "read",
    ("GET", "/ui/tail"): "read",
    ("GET", "/ui/status"): "read",
    ("HEAD", "/ui/tail/events"): "read",
    ("POST", "/ui/users/u/forget"): "admin",
    ("POST", "/ui/users/u/export"): "nobody",
    ("GET", "/ui/login"): "",
    ("GET", "/ui/static/pages.css"): "",
    ("GET", "/ui/static/..%2ftemplates%2fbase.html"): "nobody",
}
SERVED = {200, 303, 404}
ROLES = {"none": set[str](), "unknown": set[str](), "revoked": set[str](), "expired": set[str]()}
ROLES |= {"write": {"write"}, "read": {"read"}, "admin": {"read", "admin"}}


class Keyed:
    """A server whose folder has keys of every kind."""

    def __init__(self, server: Server, keys: dict[str, str]) -> None:
        """Remember both."""
        self.server = server
        self.keys = keys

    def cookie(self, kind: str) -> dict[str, str]:
        """The header with which a browser would come."""
        return {} if kind == "none" else {"cookie": f"footpath_key={self.keys[kind]}"}


@pytest.fixture(scope="module")
def keyed(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Keyed:
    """Keys of every kind, and one action."""
    data = tmp_path_factory.mktemp("door") / "data"
    keys = {"unknown": "fp_admin_" + "0" * 32}

    def key(*arguments: str) -> str:
        line = [sys.executable, "-m", "footpath", "key", *arguments, "--data", str(data)]
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()

    for name in ("write", "read", "admin", "revoked", "expired"):
        role, end = (name, []) if name in {"write", "read"} else ("admin", ["--expires", "1h"])
        keys[name] = key("create", "--role", role, "--name", name, *end)
    key("revoke", "revoked")
    with closing(sqlite3.connect(data / "footpath.db", timeout=20)) as database, database:
        database.execute("UPDATE keys SET expires_at = created_at + 1 WHERE name = 'expired'")
    server = start(data)
    return Keyed(server, keys)


@pytest.mark.parametrize("kind", ROLES)
def test_every_page_with_every_key(keyed: Keyed, kind: str) -> None:
    """A page is made for whoever may read, forgetting for admins; all others are led to the form, and told nothing."""
    surprises = []
    own = {"origin": keyed.server.url}
    for (method, path), needed in PAGES.items():
        content = b"confirm=somebody-else" if method == "POST" else None
        headers = keyed.cookie(kind) | own
        answer = keyed.server.client.request(method, path, headers=headers, content=content)
        to_form = answer.headers.get("location", "").startswith("/ui/login")
        if needed in ROLES[kind] or not needed:
            good = not to_form and answer.status_code in {200, 303, 404, 400 if method == "POST" else 200}
        elif needed == "nobody":
            good = answer.status_code in {404, 405}
        else:
            good = (to_form and answer.status_code == 303) or answer.status_code in {401, 403}
        if not good or any(key in answer.text or key in str(answer.headers) for key in keyed.keys.values()):
            surprises.append((method, path, answer.status_code, answer.headers.get("location")))
    assert surprises == []


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://127.0.0.1:1"])
@pytest.mark.parametrize("path", ["/ui/users/u/forget", "/ui/login", "/ui/logout"])
def test_a_form_of_another_site_does_nothing(keyed: Keyed, path: str, origin: str | None) -> None:
    """What another page, or none, sends in the name of whoever is in is refused: forget, log in, log out."""
    headers = keyed.cookie("admin") | ({} if origin is None else {"origin": origin})
    form = {"confirm": "u", "key": keyed.keys["read"]}
    answer = keyed.server.client.post(path, data=form, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_the_cookie_is_kept_from_scripts_and_other_sites(keyed: Keyed) -> None:
    """Only a good key is kept: HttpOnly, SameSite=Strict, for /ui alone; by a name of the internet for TLS alone."""
    client, own = keyed.server.client, {"origin": keyed.server.url}
    answer = client.post("/ui/login", data={"key": keyed.keys["read"], "to": "//evil.example/"}, headers=own)
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/")
    cookie = answer.headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "path=/ui"} <= {part.strip() for part in cookie.split(";")}
    named = {"host": "paths.shop.example", "origin": "https://paths.shop.example"}
    assert (
        "secure"
        in client.post("/ui/login", data={"key": keyed.keys["read"]}, headers=named).headers["set-cookie"].lower()
    )
    for kind in ("write", "unknown", "revoked", "expired"):
        answer = client.post("/ui/login", data={"key": keyed.keys[kind]}, headers=own)
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False), kind
        assert keyed.keys[kind] not in answer.text
    client.cookies.clear()


def test_a_form_is_bounded(keyed: Keyed) -> None:
    """Anybody may send the form of login, so what is no form is refused before it is held in memory."""
    answer = keyed.server.client.post(
        "/ui/login", content=b"key=" + b"x" * 3_000_000, headers={"origin": keyed.server.url}
    )
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_reasons_are_for_admins(keyed: Keyed) -> None:
    """The page of the server's state shows keys and rejects to admins only, and no page shows a key's secret."""
    told = {kind: keyed.server.client.get("/ui/status", headers=keyed.cookie(kind)).text for kind in ("read", "admin")}
    assert "revoked" in told["admin"]
    assert "revoked" not in told["read"]
    assert not [key for key in keyed.keys.values() if key[-20:] in told["admin"] + told["read"]]


def test_without_keys_a_name_of_the_internet_sees_no_page(start: Start) -> None:
    """A page of somebody's own name that points to this machine is led to the form, and that lets nobody in."""
    server = start()
    for path in ("/ui/", "/ui/users/u", "/ui/status"):
        assert server.client.get(path).status_code in SERVED
        answer = server.client.get(path, headers={"host": "evil.example"})
        assert answer.status_code in {303, 403}
        assert answer.headers.get("location", "/ui/login").startswith("/ui/login")
    own = {"host": "evil.example", "origin": "http://evil.example"}
    assert server.client.post("/ui/users/u/forget", data={"confirm": "u"}, headers=own).status_code == 403
    assert server.client.post("/ui/login", data={"key": "x"}, headers=own).status_code == 401
