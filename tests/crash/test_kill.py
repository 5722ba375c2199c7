"""Real servers and keepers are killed with `kill -9` at random moments under load, and nothing that was said is untrue.

The load generator is outside the fault: it notes each action before it is sent, and that it was acknowledged when the
answer has come. In the end everything is read back through the API and compared with these notes.

FOOTPATH_KILLS sets the number of kills (50), FOOTPATH_SEED the seed that is printed.
"""

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from footpath import database
from footpath.keeper.flush import due

KILLS = int(os.environ.get("FOOTPATH_KILLS", "50"))
SEED = int(os.environ.get("FOOTPATH_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)
CONNECTIONS = 8
PACE = 0.01  # seconds between two requests of a connection: some 3,000 actions a second in all
SETTINGS = {
    "FOOTPATH_FLUSH_SECONDS": "0.3",
    "FOOTPATH_FLUSH_ACTIONS": "500",
    "FOOTPATH_PART_ACTIONS": "300",
    "FOOTPATH_LOG": "json",
}
EVERYTHING = "/api/retrievelogs?logType=click&logType=view&logType=navigate"
TIMES = (
    "2018-10-20T21:37:28-06:00",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "2026-03-29T02:30:00.000001+01:00",
)

Action = tuple[str, str, str, str, str]
"""userId, sessionId, time, type, and all properties as JSON."""

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: kills; they need Linux's /proc")
pytestmark = LINUX


def wait_for(what: str, holds: Callable[[], Any], seconds: float = 30.0) -> Any:
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


class Server:
    """A footpath over a folder, on one port over all its lives."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.log = folder.with_name(f"{folder.name}.log")
        self._environment = {**os.environ, **SETTINGS, **settings, "FOOTPATH_DATA": str(folder)}
        self._environment["FOOTPATH_PORT"] = str(self.port)
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start it."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "footpath", "serve"], env=self._environment, stderr=log, start_new_session=True
            )

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
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request("GET", path, headers={"accept": "application/x-ndjson"})
            answer = connection.getresponse()
            return answer.status, answer.read()

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
                self.process.wait(60)
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

        wait_for("an empty journal and no leftovers", settled, 60)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that runs."""
    made = Server(tmp_path / "data")
    try:
        made.start()
        yield made
    finally:
        made.stop()


@dataclass
class Load:
    """Connections that send batches, and what they know of them."""

    server: Server
    seed: int
    stop: threading.Event = field(default_factory=threading.Event)
    offered: dict[str, Action] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    sessions: dict[str, list[str]] = field(default_factory=dict)
    lost_answers: int = 0
    reads: int = 0
    numbers: Iterator[int] = field(default_factory=count)

    def send(self, place: int) -> None:
        """Send batches over one connection, and over a new one after each fault, until told to stop.

        Half of the batches carry an Idempotency-Key: they are sent again until they are acknowledged. The others are
        sent once.
        """
        chance = random.Random(f"{self.seed} {place}")
        connection = self._connection()
        while not self.stop.wait(PACE):
            session = f"session {next(self.numbers)}"
            body, names = self._batch(chance, f"user {chance.randrange(200)}", session)
            headers = {"idempotency-key": uuid.uuid4().hex} if chance.random() < 0.5 else {}
            while True:
                status = self._post(connection, body, headers, len(names))
                if status == 200:
                    self.acknowledged.update(names)
                    self.sessions[session] = names
                    break
                assert status in (None, 503), f"a batch was answered with {status}"
                if status is None:
                    self.lost_answers += 1
                    connection.close()
                    connection = self._connection()
                if not headers or self.stop.wait(PACE):
                    break
        connection.close()

    def read(self) -> None:
        """Read back sessions that were acknowledged, until told to stop: each must be there, whole and once."""
        chance = random.Random(f"{self.seed} reader")
        while not self.stop.wait(PACE):
            sessions = list(self.sessions)
            if not sessions:
                continue
            session = chance.choice(sessions[-50:])
            try:
                status, body = self.server.get(f"/api/retrievelogs?sessionId={session.replace(' ', '+')}")
            except (OSError, http.client.HTTPException):
                continue  # killed meanwhile
            if status == 200:
                found = [json.loads(line)["properties"]["name"] for line in body.splitlines()]
                assert sorted(found) == sorted(self.sessions[session]), f"{session} was acknowledged, and then cut"
                self.reads += 1

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)

    def _batch(self, chance: random.Random, user: str, session: str) -> tuple[bytes, list[str]]:
        actions = []
        names = []
        for _ in range(chance.choice((1, 1, 2, 3, 5, 8, 20))):
            name = f"{next(self.numbers)}"
            kind, time_ = chance.choice(("CLICK", "VIEW", "NAVIGATE")), chance.choice(TIMES)
            properties = {"name": name, "value": chance.choice((None, -0.0, 10**25, "\x00é😀", [{"deep": [1.5]}]))}
            properties["filler"] = "x" * chance.choice((0, 0, 10, 2_000))
            self.offered[name] = (user, session, time_, kind, json.dumps(properties))
            actions.append({"time": time_, "type": kind, "properties": properties})
            names.append(name)
        return json.dumps({"userId": user, "sessionId": session, "actions": actions}).encode(), names

    @staticmethod
    def _post(connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str], number: int) -> int | None:
        """The status of the answer; None when there was none."""
        try:
            connection.request("POST", "/api/submitlogs", body, headers)
            answer = connection.getresponse()
            said = json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            return None
        if answer.status == 200:
            assert (said["message"], said["accepted"] + said["duplicates"]) == ("submitted", number)
        return answer.status

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Send and read in threads while the block runs; what went wrong in them is raised at its end."""
        wrong: list[BaseException] = []

        def guarded(work: Callable[[], None]) -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised below
                wrong.append(error)

        works: list[Callable[[], None]] = [lambda place=place: self.send(place) for place in range(CONNECTIONS)]  # type: ignore[misc]
        threads = [threading.Thread(target=guarded, args=(work,)) for work in [*works, self.read]]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()
        for error in wrong:
            raise error

    def check(self) -> int:
        """Read everything back and compare it with the notes; how many actions there are."""
        status, body = self.server.get(EVERYTHING)
        assert status == 200
        found: Counter[str] = Counter()
        seqs = set()
        for line in body.splitlines():
            action = json.loads(line)
            name = action["properties"]["name"]
            found[name] += 1
            seqs.add(action["seq"])
            properties = json.dumps(action["properties"])
            kept = (action["userId"], action["sessionId"], action["time"], action["type"], properties)
            assert kept == self.offered.get(name), f"action {name} was altered"
        assert self.acknowledged - found.keys() == set(), "acknowledged actions are missing"
        assert [name for name, times in found.items() if times > 1] == [], "actions are there twice"
        assert len(seqs) == len(found), "a seq was given twice"
        return len(found)


def test_what_was_acknowledged_survives_kills(server: Server) -> None:
    """After kills of server, keeper and both under load, every acknowledged action is there once and unaltered.

    One that was not acknowledged is there once at most, each session can be read back as soon as it was acknowledged,
    and the parts folder ends without leftovers.
    """
    chance = random.Random(SEED)
    load = Load(server, SEED)
    done: Counter[str] = Counter()
    keepers_in_a_row = 0  # the server waits longer each time before it starts a keeper that died at once
    with load.running():
        for _ in range(KILLS):
            began = len(load.acknowledged)
            wait_for("something to be acknowledged", lambda began=began: len(load.acknowledged) > began)  # type: ignore[misc]
            time.sleep(chance.uniform(0, 0.5))
            whom = chance.choice(("server", "server", "both", "both, and while starting", "keeper", "keeper"))
            if keepers_in_a_row == 2:
                whom = "server"
            keepers_in_a_row = keepers_in_a_row + 1 if whom == "keeper" else 0
            server.kill(whom, chance.uniform(0, 0.8))
            done[whom] += 1
    server.settle()
    found = load.check()
    kills = ", ".join(f"{number} of {whom}" for whom, number in sorted(done.items()))
    print(
        f"\n{KILLS} kills ({kills}), {len(load.acknowledged)} actions acknowledged, {found} found, "
        f"{load.lost_answers} answers lost, {load.reads} sessions read back meanwhile; seed {SEED}"
    )
    assert load.reads > 0
    assert found >= len(load.acknowledged) > 100


def test_a_killed_server_leaves_no_keeper(server: Server) -> None:
    """The keeper of a server that was killed ends by itself, without another server."""
    keepers = keepers_of(server.pid)
    assert len(keepers) == 1
    os.kill(server.pid, signal.SIGKILL)
    wait_for("the keeper to end", lambda: not any(map(is_keeper, keepers)))


def test_a_killed_server_leaves_no_worker(tmp_path: Path) -> None:
    """When a server of several workers is killed, these and the keeper end too, and it can be started again."""
    server = Server(tmp_path / "data", FOOTPATH_WORKERS="2")
    try:
        server.start()
        load = Load(server, SEED)
        with load.running():
            wait_for("actions", lambda: len(load.acknowledged) > 100)
        group = server.pid
        os.kill(group, signal.SIGKILL)
        assert server.process is not None
        server.process.wait()
        wait_for("its processes to end", lambda: not processes_of(group))
        server.start()
        load.check()
    finally:
        server.stop()


def test_a_killed_keeper_is_replaced(server: Server) -> None:
    """After its keeper was killed the server is ready again, and the journal is flushed by another keeper."""
    numbers = count()  # so that the second load's sessions are not the first's again
    for _ in range(2):
        server.kill("keeper")
        load = Load(server, SEED, numbers=numbers)
        with load.running():
            wait_for("actions", lambda load=load: len(load.acknowledged) > 20)  # type: ignore[misc]
        server.settle()
        assert server.is_ready()
