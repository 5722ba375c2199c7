"""The real server and its keeper, as the processes that are killed, cut off, traced and started again."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from footpath import database
from footpath.keeper.flush import due

SETTINGS = {
    "FOOTPATH_FLUSH_SECONDS": "0.3",
    "FOOTPATH_FLUSH_ACTIONS": "500",
    "FOOTPATH_PART_ACTIONS": "300",
    "FOOTPATH_READ_SECONDS": "60",
    "FOOTPATH_LOG": "json",
}
WAIT_SECONDS = 300.0  # a start takes one; but others who use the machine may leave it next to nothing for minutes
EVERYTHING = "/api/retrievelogs?logType=click&logType=view&logType=navigate"


def wait_for(what: str, holds: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """Wait until a condition holds; what it gave."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.01)
    return found


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def keepers_of(pid: int) -> list[int]:
    """The keepers that a process has started and that still run."""
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            children += [int(child) for child in (task / "children").read_text(encoding="utf-8").split()]
    return [child for child in children if is_keeper(child)]


def is_keeper(pid: int) -> bool:
    """Whether a process is a keeper and runs."""
    try:
        return b"footpath.keeper" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def processes_of(group: int) -> list[int]:
    """The processes of a process group that have not ended."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = status.read_text(encoding="utf-8").rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(int(status.parent.name))
    return found


def environment(**settings: str) -> dict[str, str]:
    """The environment of a process with these settings and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FOOTPATH_")}
    return {**kept, **SETTINGS, **settings}


def check_folder(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `footpath check` over a folder."""
    command = [sys.executable, "-m", "footpath", "check", "--data", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, env=environment())


class Server:
    """A footpath over a folder, on one port over all its lives."""

    def __init__(self, folder: Path, *, log: Path | None = None, under: Sequence[str] = (), **settings: str) -> None:
        """Prepare it; `under` is a command to run it under, such as strace; `settings` are FOOTPATH_ variables."""
        self.folder = folder
        self.port = free_port()
        self.log = log or folder.with_name(f"{folder.name}.log")
        self.under = list(under)
        self._environment = environment(**settings, FOOTPATH_DATA=str(folder), FOOTPATH_PORT=str(self.port))
        self.process: subprocess.Popen[bytes] | None = None

    def set(self, **settings: str) -> None:
        """Give it FOOTPATH_ variables for its next start."""
        self._environment.update(settings)

    def begin(self) -> None:
        """Start it."""
        command = [*self.under, sys.executable, "-m", "footpath", "serve"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self._environment, stderr=log, start_new_session=True)

    def start(self) -> None:
        """Start it, and wait until it is ready and has a keeper."""
        self.begin()
        wait_for("the server to be ready", self.is_ready)
        wait_for("a keeper", lambda: keepers_of(self.pid))

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.process is not None
        return self.process.pid

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and whole body of a GET."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_SECONDS)) as connection:
            connection.request("GET", path, headers={"accept": "application/x-ndjson"})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def everything(self) -> bytes:
        """All that is kept, as NDJSON."""
        status, body = self.get(EVERYTHING)
        assert status == 200, body
        return body

    def is_ready(self) -> bool:
        """Whether /readyz says so."""
        assert self.process is not None
        assert self.process.poll() is None, f"the server ended with {self.process.returncode}; see {self.log}"
        try:
            return self.get("/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def kill(self, whom: str, seconds: float = 0.0) -> None:
        """`kill -9` of the server, of its keeper, of both, or of both and once more `seconds` after the next start."""
        keepers = keepers_of(self.pid)
        if whom == "keeper":
            for keeper in keepers:
                os.kill(keeper, signal.SIGKILL)
            wait_for("another keeper", lambda: set(keepers_of(self.pid)) - set(keepers))
            wait_for("the server to be ready", self.is_ready)
            return
        assert self.process is not None
        if whom == "server":
            os.kill(self.pid, signal.SIGKILL)
        else:
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        if whom == "both, and while starting":
            self.begin()
            time.sleep(seconds)
            os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()
        self.start()
        wait_for("the old keeper to end", lambda: not any(map(is_keeper, keepers)))

    def stop(self) -> None:
        """Stop it in order, or by force when it is not running any more."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(WAIT_SECONDS)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.process.pid, signal.SIGKILL)

    def settle(self) -> None:
        """Wait until the journal is empty and the parts folder holds nothing but what the catalog names."""

        def settled() -> bool:
            with closing(database.connect(self.folder, readonly=True)) as connection:
                if due(connection).actions:
                    return False
                before = {file.name for file in (self.folder / "parts").iterdir()}
                return before <= {f"{row[0]}.parquet" for row in connection.execute("SELECT id FROM parts")}

        wait_for("an empty journal and no leftovers", settled)
