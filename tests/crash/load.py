"""Connections that send batches again until they are acknowledged, through kills, cuts and full disks; and one reader.

A batch with an Idempotency-Key is sent until it is acknowledged, also when its answer was lost. One without is sent
once. Some connections are cut right after the request was sent, by choice: the answer is lost, the batch is sent again.
"""

import contextlib
import http.client
import json
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from tests.crash.oracle import Json, Notes, digest
from tests.crash.process import WAIT_SECONDS, Server

TIMES = (
    "2018-10-20T21:37:28-06:00",
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z",
    "2026-03-29T02:30:00.000001+01:00",
)
SIZES = (1, 1, 2, 3, 5, 8, 20)


@dataclass
class Load:
    """Connections that send batches, and what they know of them."""

    server: Server
    notes: Notes
    seed: int
    connections: int = 8
    pace: float = 0.01
    """Seconds between two requests of a connection."""
    keyed: float = 0.5
    """The share of batches that carry an Idempotency-Key."""
    cut: float = 0.0
    """The share of requests with a key whose connection is cut after sending."""
    sizes: tuple[int, ...] = SIZES
    rich: bool = True
    """Whether properties are odd and sometimes large."""
    numbers: Iterator[int] = field(default_factory=count)
    stop: threading.Event = field(default_factory=threading.Event)
    sessions: dict[str, int] = field(default_factory=dict)
    """Acknowledged sessions and their number of actions, in order of acknowledgement."""
    requests: int = 0
    lost_answers: int = 0
    refused: int = 0
    reads: int = 0

    def send(self, place: int) -> None:
        """Send batches over one connection, and over a new one after each fault, until told to stop."""
        chance = random.Random(f"{self.seed} {place}")
        connection = self._connection()
        while not self.stop.wait(self.pace):
            user, session = f"user {chance.randrange(200)}", f"session {next(self.numbers)}"
            actions = [self._action(chance) for _ in range(chance.choice(self.sizes))]
            body = json.dumps({"userId": user, "sessionId": session, "actions": actions}).encode()
            digests = [digest(user, session, action) for action in actions]
            self.notes.offer(digests)
            key = uuid.uuid4().hex if chance.random() < self.keyed else ""
            while True:
                is_cut = bool(key) and chance.random() < self.cut
                status = self._post(connection, body, key, len(actions), is_cut=is_cut)
                self.requests += 1
                if status == 200:
                    self.notes.acknowledge(key, user, digests)
                    self.sessions[session] = len(digests)
                    break
                assert status in (None, 503), f"a batch was answered with {status}"
                if status is None:
                    self.lost_answers += 1
                    connection.close()
                    connection = self._connection()
                else:
                    self.refused += 1
                if not key:
                    break
                if not is_cut and self.stop.wait(max(self.pace, 0.01)):
                    break
        connection.close()

    def read(self) -> None:
        """Read back sessions that were acknowledged, until told to stop: each must be there, whole and once."""
        chance = random.Random(f"{self.seed} reader")
        while not self.stop.wait(max(self.pace, 0.01)):
            sessions = list(self.sessions)[-50:]
            if not sessions:
                continue
            session = chance.choice(sessions)
            try:
                status, body = self.server.get(f"/api/retrievelogs?sessionId={session.replace(' ', '+')}")
            except (OSError, http.client.HTTPException):
                continue  # killed meanwhile
            if status == 200:
                found = {json.loads(line)["properties"]["name"] for line in body.splitlines()}
                assert len(found) == self.sessions[session], f"{session} was acknowledged, and then cut"
                self.reads += 1

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=WAIT_SECONDS)

    def _action(self, chance: random.Random) -> Json:
        properties: Json = {"name": f"{next(self.numbers)}"}
        if self.rich:
            properties["value"] = chance.choice((None, -0.0, 10**25, "\x00é😀", [{"deep": [1.5]}]))
            properties["filler"] = "x" * chance.choice((0, 0, 10, 2_000))
        kind = chance.choice(("CLICK", "VIEW", "NAVIGATE"))
        return {"time": chance.choice(TIMES), "type": kind, "properties": properties}

    @staticmethod
    def _post(
        connection: http.client.HTTPConnection, body: bytes, key: str, number: int, *, is_cut: bool
    ) -> int | None:
        """The status of the answer; None when there was none, or when the connection is to be cut."""
        try:
            connection.request("POST", "/api/submitlogs", body, {"idempotency-key": key} if key else {})
            if is_cut:
                return None
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
        self.stop.clear()
        wrong: list[BaseException] = []

        def guarded(work: Callable[[], None]) -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - raised below
                wrong.append(error)

        works: list[Callable[[], None]] = [lambda place=place: self.send(place) for place in range(self.connections)]  # type: ignore[misc]
        threads = [threading.Thread(target=guarded, args=(work,)) for work in [*works, self.read]]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()
            if wrong:
                raise wrong[0]  # also where the block failed: then this is why
