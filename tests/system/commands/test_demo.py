"""`footpath demo`: the traffic arrives, and what the server says of it is compared with what was made."""

import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.system.commands.conftest import Run
from tests.system.conftest import Server


class _TakesEverything(BaseHTTPRequestHandler):
    """A server that is not footpath: it accepts what is bad."""

    def do_POST(self) -> None:
        """Take a request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        said = b'{"accepted": %d, "duplicates": 0, "rejected": []}' % body.count(b'"properties"')
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture
def other() -> Iterator[str]:
    """The address of such a server."""
    with HTTPServer(("127.0.0.1", 0), _TakesEverything) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_takes_the_traffic(run: Run, server: Server) -> None:
    """As fast as it goes, 20,000 actions are accepted or rejected as they were made, and can be read."""
    done = run("demo", "--url", server.url, "--rate", 0, "--actions", 20_000, "--users", 50)
    accepted, duplicates, rejected = map(int, re.findall(r"\d+", done.out))
    assert accepted + rejected == 20_000
    assert duplicates == 0
    assert 100 < rejected < 300
    assert len(run("export", "--data", server.data).rows()) == accepted


def test_a_rate_is_kept(run: Run, server: Server) -> None:
    """At 200 actions a second, 400 take about two seconds."""
    began = time.monotonic()
    run("demo", "--url", server.url, "--rate", 200, "--actions", 400)
    assert 1.5 < time.monotonic() - began < 15


def test_a_file_of_traffic_can_be_imported(run: Run, tmp_path: Path) -> None:
    """A packed file of traffic says how many actions are bad, and its import rejects as many."""
    file = tmp_path / "demo.ndjson.gz"
    done = run("demo", "--out", file, "--actions", 2_000, "--seed", 5)
    bad = int(done.out.split(", ")[1].split()[0])
    assert bad > 0
    assert file.read_bytes()[:2] == b"\x1f\x8b"
    assert done.out == f"2000 actions in {file}, {bad} of them bad\n"
    assert (
        run("import", file, "--data", tmp_path / "data").out == f"{2000 - bad} accepted, 0 duplicates, {bad} rejected\n"
    )


def test_an_answer_that_does_not_agree_fails(run: Run, other: str) -> None:
    """When the server accepts what is bad, the demo says what it should have done, and ends with 1."""
    done = run("demo", "--url", other, "--rate", 0, "--actions", 2_000, code=1)
    assert "the server should have accepted" in done.err


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "127.0.0.1:8000", "ftp://x", "http://:x"])
def test_no_server_is_told(url: str, run: Run) -> None:
    """An address where nothing listens, or that is none, ends with 1 and one sentence."""
    assert len(run("demo", "--url", url, code=1).err.splitlines()) == 1
