"""The Python of docs/CLIENT.md, run as it is written, against a real server."""

import asyncio
import io
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from footpath.client import Client
from footpath.testing import FootpathServer

TEXT = (Path(__file__).parents[2] / "docs" / "CLIENT.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def named(footpath_server: FootpathServer) -> dict[str, Any]:
    """What all blocks together define, with their address made that of the test's server."""
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(block.replace("http://127.0.0.1:8000", footpath_server.url), names)
    return names


def test_the_first_example_sends_two_actions(named: dict[str, Any], footpath_server: FootpathServer) -> None:
    """The first block stores a click and a navigation, and closes."""
    assert named["client"].counts.accepted == 2
    assert [action["type"] for action in footpath_server.actions()] == ["CLICK", "NAVIGATE"]


def test_the_coroutine_sends_a_view(named: dict[str, Any], footpath_server: FootpathServer) -> None:
    """The example for asyncio stores its view."""
    asyncio.run(named["main"]())
    assert footpath_server.actions(logType="view")[0]["properties"] == {"viewedId": "FDJKLHSLD"}


def test_the_example_of_a_test_passes(named: dict[str, Any], tmp_path: Path) -> None:
    """The test that the page shows passes with the fixture it names."""
    from footpath.testing import serving

    with serving(tmp_path / "another") as url:
        named["test_a_click_is_tracked"](FootpathServer(url))


def test_the_asgi_example_tracks_a_page(named: dict[str, Any], footpath_server: FootpathServer) -> None:
    """A GET of a known user is tracked; one of a stranger, and a POST, are not; the page is served."""

    async def visit(app: Any) -> None:
        cookies = {"session": "XYZ456ABC"}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://shop.example", cookies=cookies
        ) as visitor:
            assert (await visitor.get("/inventory", headers={"x-user": "asgi"})).text == "a page"
            await visitor.get("/inventory")
            await visitor.post("/inventory", headers={"x-user": "asgi"})

    async def page(_request: object) -> PlainTextResponse:
        return PlainTextResponse("a page")

    with Client(footpath_server.url) as client:
        app = named["TrackedAsgi"](Starlette(routes=[Route("/inventory", page, methods=["GET", "POST"])]), client)
        asyncio.run(visit(app))
    (action,) = footpath_server.actions(userId="asgi")
    assert (action["sessionId"], action["properties"]) == ("XYZ456ABC", {"page": "/inventory"})
    assert client.counts.tracked == 1


def test_the_wsgi_example_tracks_a_page(named: dict[str, Any], footpath_server: FootpathServer) -> None:
    """A GET of a known user is tracked, and the page is served."""

    def page(_environ: dict[str, Any], start_response: Callable[[str, list[Any]], object]) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"a page"]

    with Client(footpath_server.url) as client:
        app = named["TrackedWsgi"](page, client)
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/inventory", "wsgi.input": io.BytesIO()}
        known = {"HTTP_X_USER": "wsgi", "HTTP_COOKIE": "theme=dark; session=XYZ456ABC"}
        assert app(environ | known, lambda *_: None) == [b"a page"]
        app(environ, lambda *_: None)
    (action,) = footpath_server.actions(userId="wsgi")
    assert (action["sessionId"], action["properties"]) == ("XYZ456ABC", {"page": "/inventory"})
