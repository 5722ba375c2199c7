"""The key and the origin of a request, and the role of a path."""

import pytest

from footpath.config import Settings
from footpath.web import auth
from footpath.web.app import App
from footpath.web.auth import role_of, sent

Headers = list[tuple[bytes, bytes]]
NO_KEY, NO_FORM, MANY = "no key came", "not of the form Bearer", "more than one key"
SENT: dict[str, tuple[Headers, bytes, bytes | None, str]] = {
    "nothing": ([], b"", None, NO_KEY),
    "bearer": ([(b"authorization", b"Bearer k")], b"", b"k", ""),
    "bearer in another case": ([(b"authorization", b"bEARER  k ")], b"", b"k", ""),
    "a header of its own": ([(b"x-api-key", b" k ")], b"", b"k", ""),
    "in the query": ([], b"a=1&key=k&b=2", b"k", ""),
    "escaped in the query": ([], b"key=%66p%5Fk", b"fp_k", ""),
    "a parameter that only ends so": ([], b"xkey=k&monkey=k", None, NO_KEY),
    "a password for a proxy": ([(b"authorization", b"Basic eDp5")], b"", None, NO_FORM),
    "a password for a proxy and a key": ([(b"authorization", b"Basic eDp5"), (b"x-api-key", b"k")], b"", b"k", ""),
    "no scheme": ([(b"authorization", b"k")], b"", None, NO_FORM),
    "an empty key": ([(b"x-api-key", b"")], b"", b"", ""),
    "twice the same": ([(b"authorization", b"Bearer k"), (b"x-api-key", b"k")], b"key=k", b"k", ""),
    "two": ([(b"authorization", b"Bearer k"), (b"x-api-key", b"l")], b"", None, MANY),
    "two of a kind": ([(b"x-api-key", b"k"), (b"x-api-key", b"l")], b"", None, MANY),
    "two in the query": ([], b"key=k&key=l", None, MANY),
}


@pytest.mark.parametrize("case", SENT)
def test_the_key_of_a_request(case: str) -> None:
    """A key is found in the three places that it may come in; two different ones are none."""
    headers, query, key, trouble = SENT[case]
    found, _, why, _ = sent(headers, query)
    assert found == key
    assert trouble in why
    assert bool(why) is (key is None)


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        (b"https://a.example", "https://a.example"),
        (b"http://[::1]:80", "http://[::1]:80"),
        (b"null", "null"),
        (b"", ""),
        (b"https://a.example/x", ""),
        (b"https://a.example https://b.example", ""),
        (b"https://\xff", ""),
        (b"*", ""),
        (b"https://a\x00b", ""),
    ],
)
def test_the_origin_of_a_request(value: bytes, origin: str) -> None:
    """An Origin header that is none stands for no origin that could be listed, not for its absence."""
    assert sent([(b"origin", value)])[1] == origin
    assert sent([])[1] is None


@pytest.mark.parametrize(
    ("host", "is_of_internet"),
    [
        (b"evil.example", True),
        (b"evil.example:8000", True),
        (b"EVIL.example.", True),
        (b"127.0.0.1.nip.example:8000", True),
        (b"localhost.evil.example", True),
        (b"127.0.0.1", False),
        (b"127.0.0.1:8000", False),
        (b"[::1]:8000", False),
        (b"[::ffff:127.0.0.1]", False),
        (b"localhost:8000", False),
        (b"shop.localhost:8000", False),
        (b"box", False),
        (b"", False),
        (b"\xff.\xfe", True),
    ],
)
def test_a_name_of_the_internet(host: bytes, *, is_of_internet: bool) -> None:
    """A name that anybody can have point to this machine is told from its addresses and its own names."""
    assert auth.is_of_internet(host) == is_of_internet


def test_a_path_below_api_needs_admin_unless_it_is_named() -> None:
    """Each route of the server is open, or needs a role; one that nobody thought of needs admin."""
    read = ("retrievelogs", "sessions", "counts", "clicks", "flows", "tail")
    needed = {"/api/submitlogs": "write", "/metrics": "read"} | {f"/api/{name}": "read" for name in read}
    opened = {"/healthz", "/readyz", "/openapi.json", "/docs", "/", "/footpath.js", "/footpath.mjs"}
    for path in ("/api/", "/api/users/x", "/api/submitlogs/", "/api/Retrievelogs", "/api/rejects"):
        assert role_of(path) == "admin"
    for path, role in needed.items():
        assert role_of(path) == role
    for path in {getattr(route, "path", "") for route in App(lambda _: NotImplemented, Settings())._router.routes}:
        if path.startswith("/ui"):  # pages look for the key in a cookie: tests/browser/test_pages.py
            continue
        assert role_of(path) == needed.get(path, None if path in opened else "admin"), path
