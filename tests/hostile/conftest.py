"""The real process under hostile clients. Imports nothing of footpath; what starts it is that of the system tests."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import Server, Start, server, start, wait_until

__all__ = ["Server", "Start", "server", "start", "wait_until"]

MB = 1_000_000
FAULTS = ("Traceback", '"level": "error"', '"level": "critical"')


def alive(server: Server) -> bool:
    """Whether the same process takes an action and finds it, and has logged no fault of its own."""
    before = len(found(server, "still alive"))
    action = {"time": "2018-10-20T21:37:28Z", "type": "VIEW"}
    answer = server.submit({"userId": "still alive", "sessionId": "s", "actions": [action]})
    log = server.log.read_text(encoding="utf-8")
    return (
        answer.status_code == 200
        and len(found(server, "still alive")) == before + 1
        and not any(fault in log for fault in FAULTS)
    )


def found(server: Server, user: str) -> list[dict[str, object]]:
    """The stored actions of a user."""
    answer = server.retrieve(userId=user)
    assert answer.status_code == 200, answer.text
    return [action for batch in answer.json() for action in batch["actions"]]


def read_all(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    got = b""
    try:
        while piece := connection.recv(1 << 16):
            got += piece
    except ConnectionResetError:  # it closed while more was on the way: what came before is its answer
        return got
    return got


@pytest.fixture(autouse=True)
def _lives_on(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test the server it used is alive."""
    yield
    if "server" in request.fixturenames:
        assert alive(request.getfixturevalue("server"))


def resident(server: Server) -> int:
    """The most memory that the server has had, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def forget_peak(server: Server) -> None:
    """Begin to measure the peak anew."""
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5", encoding="ascii")


@contextlib.contextmanager
def grows_less_than(server: Server, most: int) -> Iterator[None]:
    """Hold that the server's peak within the block is less than so many bytes over what it had."""
    forget_peak(server)
    before = resident(server)
    yield
    grown = resident(server) - before
    print(f"grown by {grown / MB:.0f} MB")
    assert grown < most
