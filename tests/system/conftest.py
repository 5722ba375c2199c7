"""The real process for the tests of this room, which import nothing of footpath: they see what its users see.

`start` gives a server that is up; everything started is stopped, with SIGTERM to its own pid, when the module is done.
Leaves out: what the server should answer. That is the business of the tests.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

START_SECONDS = 30.0  # a start takes one; a busy machine may take many
STOP_SECONDS = 40.0  # requests that run when the server is told to stop may take 30


def wait_until(what: str, condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return as soon as a condition holds.

    Raises:
        TimeoutError: it does not come to hold.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds} s in vain until {what}")
        time.sleep(0.02)


class Server:
    """A footpath process over a data folder, and a client for it."""

    def __init__(self, data: Path, environment: Mapping[str, str], arguments: Sequence[str]) -> None:
        """Prepare to serve `data`; `FOOTPATH_*` of the tests' own environment do not reach the process."""
        self.data = data
        self.log = data.with_name(f"{data.name}.log")
        self._arguments = [sys.executable, "-m", "footpath", "serve", "--data", str(data), "--port", "0", *arguments]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("FOOTPATH_")}
        self.environment = dict(environment)
        self._environment = {**kept, "FOOTPATH_LOG": "json", **environment}
        self._client: httpx.Client | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process; there is none before `start`."""
        assert self._process is not None
        return self._process

    @property
    def client(self) -> httpx.Client:
        """A client that keeps its connection."""
        assert self._client is not None
        return self._client

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rpartition(":")[2])

    def start(self, seconds: float = START_SECONDS) -> None:
        """Start the process; return when it answers /healthz."""
        before = len(self.events("serving"))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._arguments, env=self._environment, stderr=log, stdout=log)
        wait_until("the server says where it listens", lambda: self._listens(before), seconds)
        self.url = self.events("serving")[-1]["url"]
        self._client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        wait_until("the server answers", self._answers, seconds)

    def stop(self) -> int:
        """Tell it to stop, wait until it has, and give its exit code."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def restart(self) -> None:
        """Stop it and start it again over the same folder."""
        self.stop()
        self.start()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of its log with this event."""
        if not self.log.exists():
            return []
        lines = [line for line in self.log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
        return [event for event in map(json.loads, lines) if event.get("event") == name]

    def parts(self) -> set[str]:
        """The names of the Parquet files in its folder."""
        return {file.name for file in (self.data / "parts").glob("*.parquet")}

    def submit(self, body: object, headers: Mapping[str, str] | None = None) -> httpx.Response:
        """POST a value as JSON, or bytes as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post("/api/submitlogs", content=content, headers=headers)

    def retrieve(self, *, accept: str = "application/json", **parameters: Any) -> httpx.Response:
        """GET with these parameters; one with a list as its value is repeated."""
        return self.client.get("/api/retrievelogs", params=parameters, headers={"accept": accept})

    def connect(self) -> socket.socket:
        """A raw connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def _listens(self, before: int) -> bool:
        code = self.process.poll()
        assert code is None, f"the server ended with {code}: {self.log.read_text(encoding='utf-8')}"
        return len(self.events("serving")) > before

    def _answers(self) -> bool:
        try:
            return self.client.get("/healthz").status_code == 200
        except httpx.ConnectError:
            return False


class Start(Protocol):
    """The type of the fixture `start`."""

    def __call__(
        self, data: Path | None = None, *, environment: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
    ) -> Server:
        """Start a server over a folder, a fresh one by default."""
        ...


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """A function that starts servers, which end with the module."""
    with contextlib.ExitStack() as stack:

        def begin(
            data: Path | None = None, *, environment: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
        ) -> Server:
            server = Server(data or tmp_path_factory.mktemp("system") / "data", environment or {}, arguments)
            server.start()
            stack.callback(server.stop)
            return server

        yield begin


@pytest.fixture(scope="module")
def server(start: Start) -> Server:
    """One server with the default settings, shared by a module."""
    return start()
