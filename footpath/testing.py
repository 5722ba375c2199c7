"""A fixture for the tests of programs that send to footpath: a real server in the test's own process.

pytest finds it by itself where footpath is installed:

    def test_a_click_is_tracked(footpath_server):
        shop = Shop(footpath.client.Client(footpath_server.url))
        shop.click("ABC123XYZ")
        assert footpath_server.actions(at_least=1)[0]["type"] == "CLICK"

The server takes and gives as any other, from SQLite in a folder of the test's own. Leaves out the keeper: what a test
sends stays in the journal.
"""

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

START_SECONDS = 30.0  # it takes a tenth of one


class FootpathServer:
    """A running server: `url` is where it takes requests."""

    def __init__(self, url: str) -> None:
        """Of the server at an address."""
        self.url = url

    def actions(self, *, at_least: int = 0, timeout: float = 10.0, **filters: str) -> list[dict[str, Any]]:
        """The actions that are there, in time order, each with its ids as `application/x-ndjson` gives it.

        Args:
            at_least: wait until there are so many; for programs that send in the background.
            timeout: for so many seconds.
            **filters: parameters of /api/retrievelogs, like userId="ABC123XYZ".

        Raises:
            AssertionError: there are not so many in time; the message says how many there are.
        """
        query = urlencode([*filters.items()] or [("logType", name) for name in ("click", "view", "navigate")])
        request = urllib.request.Request(f"{self.url}/api/retrievelogs?{query}")  # noqa: S310 - our own address
        request.add_header("Accept", "application/x-ndjson")
        deadline = time.monotonic() + timeout
        while True:
            with urllib.request.urlopen(request, timeout=timeout) as response:  # noqa: S310
                found = [json.loads(line) for line in response]
            if len(found) >= at_least:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} actions came in {timeout:.0f} s, not {at_least}")
            time.sleep(0.02)


@pytest.fixture
def footpath_server(tmp_path: Path) -> Iterator[FootpathServer]:
    """A server of the test's own, empty at its beginning."""
    with serving(tmp_path / "footpath") as url:
        yield FootpathServer(url)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a data folder in a thread of this process; the address. It has stopped when this is left."""
    import socket

    import uvicorn

    from footpath import service
    from footpath.config import Settings
    from footpath.metrics.counts import Counts
    from footpath.web.app import App
    from footpath.web.protocol import Protocol

    settings = Settings(data=folder, port=0)
    counts = Counts()
    with service.hold(folder, "a test"), socket.create_server((settings.host, 0)) as listening:
        app = App(lambda stack: service.open_embedded(settings, stack, counts), settings, counts)
        config = uvicorn.Config(
            app, http=Protocol, ws="none", log_config=None, access_log=False, server_header=False, proxy_headers=False
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="footpath-server")
        thread.start()
        try:
            deadline = time.monotonic() + START_SECONDS
            while not server.started:
                if not thread.is_alive() or time.monotonic() > deadline:
                    raise RuntimeError("the footpath server of the test did not start; see the log above")
                time.sleep(0.005)
            yield f"http://{settings.host}:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
