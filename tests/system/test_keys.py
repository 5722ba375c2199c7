"""Keys over HTTP: every route with every kind of key in every place, pages, rates, and what is written down."""

import json
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.system.commands.conftest import environment
from tests.system.conftest import Server, Start, wait_until

BODY: list[dict[str, Any]] = [
    {"userId": "u", "sessionId": "s", "actions": [{"time": "2018-10-20T21:37:28Z", "type": "CLICK"}]}
]
SHOP, DESK, OTHER = "https://shop.example", "https://desk.example", "https://evil.example"
UNKNOWN = "fp_admin_" + "0" * 32


def command(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `footpath key` on a folder."""
    line = [sys.executable, "-m", "footpath", "key", *arguments, "--data", str(data)]
    return subprocess.run(line, env=environment(), capture_output=True, text=True, timeout=60, check=False)


def create(data: Path, name: str, role: str, *more: str) -> str:
    """Make a key."""
    done = command(data, "create", "--role", role, "--name", name, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


WANTED: dict[str, Sequence[str]] = {
    "write": ("write",),
    "read": ("read",),
    "admin": ("admin",),
    "revoked": ("admin",),
    "expired": ("admin", "--expires", "1h"),
    "shop": ("write", "--origin", SHOP),
    "desk": ("read", "--origin", DESK),
    "slow": ("write", "--rate", "20"),
}
"""The keys of the shared server, by name, each with its role and options."""


class Keyed:
    """A server whose folder has keys."""

    def __init__(self, server: Server, keys: dict[str, str]) -> None:
        """Remember both."""
        self.server = server
        self.keys = keys

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """Send a request; a POST has a body."""
        content = json.dumps(BODY).encode() if method == "POST" else None
        return self.server.client.request(method, path, headers=headers, content=content)


@pytest.fixture(scope="module")
def keyed(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Keyed:
    """A server with keys of every kind, one of them revoked and one expired."""
    data = tmp_path_factory.mktemp("keys") / "data"
    keys = {"write": create(data, "write", "write")}
    with ThreadPoolExecutor(4) as pool:
        made = {name: pool.submit(create, data, name, *more) for name, more in WANTED.items() if name not in keys}
    keys |= {name: one.result() for name, one in made.items()}
    assert command(data, "revoke", "revoked").stdout == "revoked is revoked\n"
    with closing(sqlite3.connect(data / "footpath.db", timeout=20)) as database, database:
        database.execute("UPDATE keys SET expires_at = created_at + 1 WHERE name = 'expired'")
    return Keyed(start(data), keys)


ROUTES = {
    ("POST", "/api/submitlogs"): ("write", 200),
    ("GET", "/api/submitlogs"): ("write", 405),
    ("GET", "/api/retrievelogs?userId=u"): ("read", 200),
    ("HEAD", "/api/retrievelogs?userId=u"): ("read", 200),
    ("POST", "/api/retrievelogs"): ("read", 405),
    ("GET", "/api/sessions?userId=u"): ("read", 200),
    ("GET", "/api/counts"): ("read", 200),
    ("GET", "/api/clicks?page=p&fromTime=2026-01-01&toTime=2026-01-02"): ("read", 200),
    ("GET", "/api/flows?fromTime=2026-01-01&toTime=2026-01-02"): ("read", 200),
    ("HEAD", "/api/tail"): ("read", 200),
    ("GET", "/api/tail?nothing-like-this=1"): ("read", 400),
    ("POST", "/api/tail"): ("read", 405),
    ("GET", "/api/rejects"): ("admin", 200),
    ("POST", "/api/rejects"): ("admin", 405),
    ("DELETE", "/api/users/nobody"): ("admin", 200),
    ("DELETE", "/api/users/%2e%2e%2fnobody?before=2018-01-01"): ("admin", 200),
    ("GET", "/api/users/nobody"): ("admin", 405),
    ("DELETE", "/api/users/"): ("admin", 400),
    ("GET", "/metrics"): ("read", 200),
    ("POST", "/metrics"): ("read", 405),
    ("GET", "/api/retrievelogs/"): ("admin", 307),
    ("GET", "/api/nothing-is-here"): ("admin", 404),
    ("POST", "/api/submitlogs/"): ("admin", 404),
    ("POST", "/api/%73ubmitlogs"): ("write", 200),
    ("GET", "/healthz"): ("", 200),
    ("GET", "/readyz"): ("", 200),
    ("GET", "/footpath.js"): ("", 200),
    ("GET", "/footpath.mjs"): ("", 200),
    ("GET", "/openapi.json"): ("", 200),
    ("GET", "/docs"): ("", 200),
    ("GET", "/"): ("", 200),
    ("GET", "/nothing-is-here"): ("", 404),
}
"""What each route needs, and what it answers to whoever may use it."""
KINDS = ("none", "unknown", "malformed", "empty", "expired", "revoked", "write", "read", "admin")
PLACES = ("bearer", "x-api-key", "query")
ALLOWED = {"write": {"write"}, "read": {"read"}, "admin": {"write", "read", "admin"}}


def expected(needed: str, served: int, kind: str, place: str) -> int:
    """The status that a request must get."""
    if not needed:
        return served
    if kind not in ALLOWED or (place == "query" and needed != "write"):
        return 401
    return served if needed in ALLOWED[kind] else 403


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_route_with_every_key(keyed: Keyed, kind: str, place: str) -> None:
    """A route serves whoever has its role and nobody else, wherever the key is sent; ?key= is for writing only."""
    key = keyed.keys.get(kind, {"unknown": UNKNOWN, "malformed": "fp_write_x", "empty": ""}.get(kind, ""))
    surprises = []
    for (method, path), (needed, served) in ROUTES.items():
        headers, url = {}, path
        if kind != "none" and place == "query":
            url += f"{'&' if '?' in url else '?'}key={key}"
        elif kind != "none":
            headers = {"authorization": f"Bearer {key}".strip()} if place == "bearer" else {"x-api-key": key}
        answer = keyed.ask(method, url, headers)
        if answer.status_code != expected(needed, served, kind, place):
            surprises.append((method, path, answer.status_code, answer.text))
        if answer.status_code in {401, 403} and method != "HEAD":
            assert answer.json().keys() == {"code", "message"}
            assert answer.json()["code"] == {401: "unauthorized", 403: "forbidden"}[answer.status_code]
            assert not key or key not in answer.text
        assert (answer.headers.get("www-authenticate") == "Bearer") == (answer.status_code == 401)
    assert surprises == []


@pytest.mark.parametrize("origin", [SHOP, DESK, OTHER, "null"])
def test_no_route_is_shared_but_as_its_role_says(keyed: Keyed, origin: str) -> None:
    """A page of an origin reads what an admin key gives on writing routes and open scripts, and nowhere else."""
    surprises = []
    for (method, path), (needed, served) in ROUTES.items():
        answer = keyed.ask(method, path, {"x-api-key": keyed.keys["admin"], "origin": origin})
        allowed = answer.headers.get("access-control-allow-origin")
        wanted = "*" if path.startswith("/footpath.") else None
        if allowed != wanted or answer.status_code != served or "access-control-allow-credentials" in answer.headers:
            surprises.append((method, path, needed, answer.status_code, allowed))
    assert surprises == []


def test_a_tail_ends_with_its_key(start: Start, tmp_path: Path) -> None:
    """Who follows with a key that is revoked meanwhile gets nothing that comes later: the answer ends."""
    data = tmp_path / "data"
    keys = {name: create(data, name, name) for name in ("write", "read")}
    server = start(data)
    with server.client.stream("GET", "/api/tail?after=0", headers={"x-api-key": keys["read"]}) as answer:
        lines = answer.iter_lines()
        assert server.submit(BODY, {"x-api-key": keys["write"]}).status_code == 200
        assert next(line for line in lines if line.startswith("data: "))
        assert command(data, "revoke", "read").returncode == 0
        assert server.submit(BODY, {"x-api-key": keys["write"]}).status_code == 200
        assert not [line for line in lines if line.startswith("data: ")]
    assert server.events("a tail ended")


OPEN_HOSTS = {
    "127.0.0.1:8000": 200,
    "[::1]:8000": 200,
    "localhost": 200,
    "x": 200,
    "evil.example": 403,
    "127.0.0.1.evil.example:8000": 403,
}


def test_a_name_of_the_internet_opens_nothing(start: Start) -> None:
    """Without keys, what came by a name that anybody's page can have is refused on every route, and not with one."""
    server = start()
    surprises = []
    for host, wanted in OPEN_HOSTS.items():
        for (method, path), (needed, served) in ROUTES.items():
            content = json.dumps(BODY).encode() if method == "POST" else None
            answer = server.client.request(method, path, headers={"host": host}, content=content)
            if answer.status_code != (wanted if needed and wanted != 200 else served):
                surprises.append((host, method, path, answer.status_code, answer.text))
    assert surprises == []
    key = create(server.data, "app", "write")
    for host in OPEN_HOSTS:
        assert server.submit(BODY, {"x-api-key": key, "host": host}).status_code == 200


def test_two_keys_are_none(keyed: Keyed) -> None:
    """A request with two different keys is refused, whichever they are."""
    headers = {"authorization": f"Bearer {keyed.keys['write']}", "x-api-key": keyed.keys["admin"]}
    answer = keyed.ask("POST", "/api/submitlogs", headers)
    assert (answer.status_code, "more than one key" in answer.json()["message"]) == (401, True)


def test_strangers_are_told_why_behind_their_body(keyed: Keyed) -> None:
    """A refused body is read to its end and thrown away: the connection serves the next request."""
    big = b"[" + b" " * 3_000_000 + b"]"
    for path, status in (("/api/submitlogs", 401), (f"/api/submitlogs?key={keyed.keys['write']}", 200)):
        with keyed.server.connect() as connection:
            for _ in range(2):
                head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(big)}\r\n\r\n"
                connection.sendall(head.encode() + big)
                assert _answered(connection) == status


def _answered(connection: socket.socket) -> int:
    said = b""
    while not said.endswith(b"}"):
        piece = connection.recv(65536)
        assert piece, said
        said += piece
    return int(said.split()[1])


def test_readyz_tells_reasons_to_admins_only(keyed: Keyed, start: Start) -> None:
    """Where keys are asked for, what is wrong is told with an admin key; without keys, to whoever gets in."""
    assert keyed.ask("GET", "/readyz").json() == {"status": "ready"}
    late = start(environment={"FOOTPATH_FLUSH_SECONDS": "9999"})
    assert late.submit(BODY).status_code == 200
    with closing(sqlite3.connect(late.data / "footpath.db", timeout=20)) as database, database:
        database.execute("UPDATE journal SET received_at = received_at - 300000000")

    def told(key: str | None) -> set[str]:
        answer = late.client.get("/readyz", headers={} if key is None else {"x-api-key": key})
        assert answer.status_code == 503
        return set(answer.json())

    assert told(None) == {"status", "keeper"}
    admin, read = create(late.data, "a", "admin"), create(late.data, "r", "read")
    assert [told(key) for key in (None, read, UNKNOWN)] == [{"status"}] * 3
    assert told(admin) == {"status", "keeper"}


# The route, the key, the origin of the page, the status, and whether the page may read the answer.
PAGES = [
    ("POST", "write", OTHER, 200, True),
    ("POST", "write", "null", 200, True),
    ("POST", "shop", SHOP, 200, True),
    ("POST", "shop", OTHER, 403, True),
    ("POST", "shop", None, 403, False),
    ("POST", "", OTHER, 401, True),
    ("POST", "read", OTHER, 403, True),
    ("POST", "write", "not an origin", 200, False),
    ("GET", "read", OTHER, 200, False),
    ("GET", "read", DESK, 200, False),
    ("GET", "desk", DESK, 200, True),
    ("GET", "desk", OTHER, 403, False),
    ("GET", "desk", None, 200, False),
    ("GET", "", DESK, 401, True),
    ("GET", "", OTHER, 401, False),
    ("GET", "write", SHOP, 403, False),
]


@pytest.mark.parametrize(("method", "key", "origin", "status", "shared"), PAGES)
def test_pages(keyed: Keyed, method: str, key: str, origin: str | None, status: int, *, shared: bool) -> None:
    """A page may use a key, and read what is answered, as the origins of the key say; errors, if some key lists it."""
    path = {"POST": "/api/submitlogs", "GET": "/api/retrievelogs?userId=u"}[method]
    headers = {"x-api-key": keyed.keys[key]} if key else {}
    answer = keyed.ask(method, path, headers | ({} if origin is None else {"origin": origin}))
    assert answer.status_code == status, answer.text
    assert answer.headers.get("access-control-allow-origin") == (origin if shared else None)
    wants_credentials = shared and method == "POST"
    assert answer.headers.get("access-control-allow-credentials") == ("true" if wants_credentials else None)
    if origin is not None or method == "GET":
        assert answer.headers["vary"] == "Origin"
    if shared:
        assert {"Retry-After", "Link"} <= set(answer.headers["access-control-expose-headers"].split(", "))


@pytest.mark.parametrize(
    ("path", "method", "origin", "good"),
    [
        ("/api/submitlogs", "POST", OTHER, True),
        ("/api/retrievelogs", "GET", DESK, True),
        ("/api/retrievelogs", "GET", SHOP, False),
        ("/api/retrievelogs", "GET", OTHER, False),
        ("/api/nothing-is-here", "DELETE", DESK, False),
    ],
)
def test_preflights(keyed: Keyed, path: str, method: str, origin: str, *, good: bool) -> None:
    """A preflight, which has no key, is answered for an origin that some live key lists for that route, and kept."""
    asked = {"origin": origin, "access-control-request-method": method}
    asked["access-control-request-headers"] = "authorization,x-made-up"
    answer = keyed.ask("OPTIONS", path, asked)
    assert answer.status_code == (204 if good else 403)
    assert answer.headers.get("access-control-allow-origin") == (origin if good else None)
    assert answer.headers["vary"].startswith("Origin, ")
    if good:
        assert answer.headers["access-control-allow-methods"] == method
        assert answer.headers["access-control-allow-headers"] == "authorization,x-made-up"
        assert int(answer.headers["access-control-max-age"]) >= 600
        assert "content-length" not in answer.headers
        assert (answer.headers.get("access-control-allow-credentials") == "true") is (method == "POST")


def test_a_page_that_sends_a_beacon(keyed: Keyed) -> None:
    """What navigator.sendBeacon sends, text with ?key= and credentials, is taken and may be known to the page."""
    headers = {"origin": SHOP, "content-type": "text/plain;charset=UTF-8", "cookie": "a=b"}
    answer = keyed.ask("POST", f"/api/submitlogs?key={keyed.keys['shop']}", headers)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, SHOP)


def test_a_rate_is_kept_and_said(keyed: Keyed) -> None:
    """A key over its rate gets 429 and the seconds to wait, after which it is good again; others are not held up."""
    headers = {"x-api-key": keyed.keys["slow"]}
    body = [{**BODY[0], "actions": BODY[0]["actions"] * 210}]
    assert keyed.server.submit(body, headers).status_code == 200
    began = time.monotonic()
    over = keyed.server.submit(BODY, headers)
    assert (over.status_code, over.json()["code"]) == (429, "over_rate")
    assert 1 <= int(over.headers["retry-after"]) <= 2
    assert keyed.server.submit(BODY, {"x-api-key": keyed.keys["write"]}).status_code == 200
    wait_until("the rate allows more", lambda: keyed.server.submit(BODY, headers).status_code == 200)
    assert time.monotonic() - began > 0.3


@pytest.mark.parametrize("workers", [1, 2])
def test_a_running_server_sees_keys_come_and_go(start: Start, workers: int) -> None:
    """When a command is done, every process knows: the first key closes an open server, and a revoked one is out."""
    server = start(arguments=["--workers", str(workers)])

    def statuses(key: str | None) -> set[int]:
        headers = {"connection": "close"} | ({} if key is None else {"x-api-key": key})
        return {server.submit(BODY, headers).status_code for _ in range(16)}

    assert statuses(None) == {200}
    assert statuses("whatever") == {200}
    key = create(server.data, "first", "write")
    assert statuses(None) == {401}
    assert statuses(key) == {200}
    assert command(server.data, "revoke", "first").returncode == 0
    assert statuses(key) == {401}
    assert statuses(None) == {401}
    key = create(server.data, "second", "admin")
    assert statuses(key) == {200}


def test_a_connection_is_no_key(start: Start) -> None:
    """On one connection, where the same head was let in again and again, it is refused once its key is revoked."""
    server = start()
    headers = {"x-api-key": create(server.data, "app", "write")}
    assert [server.submit(BODY, headers).status_code for _ in range(5)] == [200] * 5
    assert command(server.data, "revoke", "app").returncode == 0
    refused = server.submit(BODY, headers)
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
    headers = {"x-api-key": create(server.data, "slow", "write", "--rate", "0.3")}
    statuses = [server.submit(BODY, headers).status_code for _ in range(8)]
    assert statuses[:3] == [200] * 3
    assert 429 in statuses[3:]


def test_without_a_key_others_are_not_let_in(tmp_path: Path) -> None:
    """A server that others can reach does not start on a folder without keys, and says which command makes one."""
    data = tmp_path / "some data"
    line = [sys.executable, "-m", "footpath", "serve", "--data", str(data), "--port", "0", "--host", "0.0.0.0"]
    done = subprocess.run(line, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"footpath key create --role write --name NAME --data '{data}'" in done.stderr
    assert "Traceback" not in done.stderr


def test_when_all_keys_are_gone_nothing_opens(start: Start, tmp_path: Path) -> None:
    """A server that others can reach serves nobody when its last key is revoked, nor when it starts again."""
    data = tmp_path / "data"
    key = create(data, "only", "admin")
    server = start(data, arguments=["--host", "0.0.0.0"])
    headers = {"x-api-key": key}
    assert server.submit(BODY, headers).status_code == 200
    assert "No key is left" in command(data, "revoke", "only").stderr
    for _ in range(2):
        for sent in ({}, headers):
            assert server.submit(BODY, sent).status_code == 401
            assert server.client.get("/api/retrievelogs?userId=u", headers=sent).status_code == 401
        assert server.client.get("/healthz").status_code == 200
        server.restart()
    assert any("no key is good" in line for line in server.log.read_text("utf-8").splitlines())


def test_no_key_is_written_down(keyed: Keyed) -> None:
    """No log line and no file of the folder holds a key, whatever nonsense it came with."""
    server = keyed.server
    for name, key in keyed.keys.items():
        for raw in (
            f"GET /api/retrievelogs?userId=u&key={key} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\n\r\n",
            f"POST /api/submitlogs?key={key} HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n{{x}}",
            f"POST /api/submitlogs?key={key} HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n",
            f"GET /{key} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n",
            f"BREW /?key={key} HTCPCP/1.0\r\n\r\n",
            f"GET /?key={key}\x00\r\n\r\n",
        ):
            with server.connect() as connection:
                connection.sendall(raw.encode())
                connection.shutdown(socket.SHUT_WR)
                assert key.encode() not in _all(connection), (name, raw)
    secrets = [key[-32:].encode() for key in keyed.keys.values()]
    for file in (server.log, *server.data.rglob("*")):
        if file.is_file():
            written = file.read_bytes()
            assert not [secret for secret in secrets if secret in written], file


def _all(connection: socket.socket) -> bytes:
    said = b""
    while piece := connection.recv(65536):
        said += piece
    return said


def test_the_document_says_which_key(keyed: Keyed) -> None:
    """Every route of the OpenAPI document says which keys it takes, and that is so."""
    document = keyed.ask("GET", "/openapi.json").json()
    for path, item in document["paths"].items():
        for method, route in item.items():
            url = re.sub(r"\{\w+\}", "x", path)
            bare = keyed.server.client.request(method.upper(), url).status_code
            assert (bare == 401) == bool(route["security"]), (method, path)
    schemes = document["components"]["securitySchemes"]
    for path, names in {"/api/submitlogs": set(schemes), "/api/retrievelogs": set(schemes) - {"queryKey"}}.items():
        (route,) = document["paths"][path].values()
        assert {name for way in route["security"] for name in way} == names
