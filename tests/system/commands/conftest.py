"""The commands as their users run them: a process of their own, its output in a pipe or on a terminal."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest

SECONDS = 60.0  # a command here takes one or two


class Done(NamedTuple):
    """A command that has ended: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    def rows(self) -> list[dict[str, Any]]:
        """Its output as NDJSON."""
        return [json.loads(line) for line in self.out.splitlines()]


class Run(Protocol):
    """The type of the fixture `run`."""

    def __call__(self, *arguments: object, given: bytes | None = None, code: int | None = 0, terminal: int = 0) -> Done:
        """Run footpath with arguments.

        Args:
            arguments: after `footpath`.
            given: its standard input.
            code: the exit code that it must end with; None for any.
            terminal: columns of the terminal that it writes to; 0 for a pipe.
        """
        ...


def environment(columns: int = 80) -> dict[str, str]:
    """What a command finds in its environment: none of the tests' own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FOOTPATH_")}
    return {**kept, "COLUMNS": str(columns), "TERM": "xterm-256color", "PYTHONUTF8": "1"}


@pytest.fixture(scope="session")
def run() -> Run:
    """A function that runs a command to its end."""

    def begin(*arguments: object, given: bytes | None = None, code: int | None = 0, terminal: int = 0) -> Done:
        command = [sys.executable, "-m", "footpath", *map(str, arguments)]
        done = _on_terminal(command, terminal) if terminal else _in_pipes(command, given)
        assert code is None or done.code == code, f"ended with {done.code}: {done.out}{done.err}"
        assert "Traceback" not in done.err + done.out, done
        assert "leaked" not in done.err, done
        return done

    return begin


def _in_pipes(command: Sequence[str], given: bytes | None) -> Done:
    done = subprocess.run(
        command, input=given or b"", capture_output=True, timeout=SECONDS, env=environment(), check=False
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def _on_terminal(command: Sequence[str], columns: int) -> Done:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=environment(columns)
        )
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = screen.read(65536)
            except OSError:  # Linux says so when the last that held the other end has gone
                break
            if not piece:
                break
            shown += piece
        return Done(process.wait(SECONDS), shown.decode(), "")


def batch(user: str, session: str, *actions: dict[str, Any]) -> dict[str, Any]:
    """A batch in wire form."""
    return {"userId": user, "sessionId": session, "actions": list(actions)}


def click(second: int, **properties: Any) -> dict[str, Any]:
    """A click, so many seconds after noon in the mountains."""
    time = f"2018-10-20T{12 + second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}-06:00"
    return {"time": time, "type": "CLICK", "properties": properties}


@pytest.fixture(scope="session")
def some_batches() -> list[dict[str, Any]]:
    """12,000 actions of 60 users in 240 sessions: three chunks of an import."""
    return [
        batch(f"user-{number % 60:02}", f"session-{number % 240:03}", *(click(number * 5 + i, i=i) for i in range(5)))
        for number in range(2400)
    ]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder that is not there yet."""
    return tmp_path / "data"


def ndjson(values: Sequence[Any]) -> bytes:
    """Values as NDJSON."""
    return b"".join([json.dumps(value).encode() + b"\n" for value in values])


def facts(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Exported rows without what a server gave them, in an order of their own."""
    return sorted(
        json.dumps({name: row[name] for name in ("userId", "sessionId", "time", "type", "properties")}, sort_keys=True)
        for row in rows
    )


def facts_of(batches: Sequence[dict[str, Any]]) -> list[str]:
    """What `facts` gives for an export of these batches."""
    return facts(
        [
            {"userId": one["userId"], "sessionId": one["sessionId"], **action}
            for one in batches
            for action in one["actions"]
        ]
    )


def peak(command: Sequence[str], out: Path) -> int:
    """Run a command to its end; the most memory that it held, in KB."""
    with out.open("wb") as written:
        process = subprocess.Popen(command, stdout=written, env=environment())
    most = 0
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        most = max([most, *map(int, re.findall(r"VmHWM:\s+(\d+)", status.read_text("utf-8")))])
    assert process.returncode == 0
    return most
