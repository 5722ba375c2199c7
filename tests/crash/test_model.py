"""The real server does what a list does, whatever happens to it: a state machine against a model of a few lines.

hypothesis draws what happens: batches, the same sent again with its key, the same key with another body, `kill -9`,
restarts, waiting for a flush or a merge, and finds with any filters and pages. MODEL sets how many runs it draws.
"""

import contextlib
import http.client
import json
import shutil
import tempfile
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from footpath.store.local import LocalStore
from tests.crash.process import WAIT_SECONDS, Server, check_folder, wait_for
from tests.proof import publish, times

MODEL = times("MODEL", 2)
STEPS = times("STEPS", 10)
USERS = ("a", "A", "b c", "é", "x" * 200)
SESSIONS = ("s", "S", "t")
KINDS = ("CLICK", "VIEW", "NAVIGATE")
BEGIN = datetime(2024, 3, 31, tzinfo=UTC)  # Europe's clocks change on this day

moments = st.integers(0, 5).map(lambda hours: BEGIN + timedelta(hours=hours, microseconds=hours % 2))
actions = st.tuples(moments, st.sampled_from(KINDS))
batches = st.tuples(st.sampled_from(USERS), st.sampled_from(SESSIONS), st.lists(actions, min_size=1, max_size=5))
counts: dict[str, int] = {}


def tell(what: str) -> None:
    """Count that something was done."""
    counts[what] = counts.get(what, 0) + 1


class Footpath(RuleBasedStateMachine):
    """A server, and the list of what it was told: (user, session, time, type, n) in the order of acknowledgement."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="footpath-model-"))
        self.server = Server(self.folder / "data", FOOTPATH_FLUSH_SECONDS="0.1", FOOTPATH_PART_ACTIONS="5")
        self.server.start()
        self.kept: list[tuple[str, str, datetime, str, int]] = []
        self.keys: list[tuple[str, bytes]] = []
        self.number = 0
        tell("start")

    def teardown(self) -> None:
        """Everything is found in the end, the folder is whole, and goes."""
        try:
            self.find({"logType": KINDS}, None, "asc")
            self.server.stop()
            checked = check_folder(self.server.folder)
            assert checked.returncode == 0, checked.stdout
        finally:
            self.server.stop()
            shutil.rmtree(self.folder)

    def _post(self, body: bytes, key: str = "") -> tuple[int, dict[str, Any]]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=WAIT_SECONDS)) as connection:
            connection.request("POST", "/api/submitlogs", body, {"idempotency-key": key} if key else {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    @rule(batch=batches, keyed=st.booleans())
    def post(self, batch: tuple[str, str, list[tuple[datetime, str]]], keyed: bool) -> None:
        """Send a batch."""
        user, session, given = batch
        new = [(user, session, at, kind, self.number + place) for place, (at, kind) in enumerate(given)]
        wire = [{"time": at.isoformat(), "type": kind, "properties": {"n": n}} for _, _, at, kind, n in new]
        body = json.dumps({"userId": user, "sessionId": session, "actions": wire}).encode()
        key = f"key {self.number}" if keyed else ""
        status, said = self._post(body, key)
        assert (status, said["accepted"]) == (200, len(new))
        self.kept += new
        self.number += len(new)
        if keyed:
            self.keys.append((key, body))
        tell("post")

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """Send a batch again with its key: it is answered as before and kept once."""
        key, body = data.draw(st.sampled_from(self.keys))
        status, said = self._post(body, key)
        assert (status, said["accepted"]) == (200, body.count(b'"properties"'))
        tell("retry")

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def reuse(self, data: st.DataObject) -> None:
        """Send another batch with a key that was used: it is refused, and nothing is kept."""
        key, _ = data.draw(st.sampled_from(self.keys))
        action = {"time": BEGIN.isoformat(), "type": "CLICK", "properties": {"n": -1}}
        status, _ = self._post(json.dumps({"userId": "a", "sessionId": "s", "actions": [action]}).encode(), key)
        assert status == 422
        tell("reuse a key")

    @rule(what=st.sampled_from(("server", "both", "restart", "flush", "flush", "merge")))
    def happen(self, what: str) -> None:
        """Kill it, restart it, wait until the journal is empty, or until there are a few runs only."""
        tell(what)
        if what == "restart":
            self.server.stop()
            self.server.start()
        elif what in {"server", "both"}:
            self.server.kill(what)
        else:
            self.server.settle()
            if what == "merge":
                wait_for("a merge", lambda: self._runs() <= 3)  # the keeper goes so far when little comes in

    def _runs(self) -> int:
        with closing(LocalStore(self.server.folder)) as store:
            return len({part.run for part in store.live()})

    @rule(
        user=st.none() | st.sampled_from(USERS),
        session=st.none() | st.sampled_from(SESSIONS),
        kinds=st.sets(st.sampled_from(KINDS), min_size=1),
        span=st.none() | st.tuples(moments, moments),
        limit=st.none() | st.integers(1, 7),
        order=st.sampled_from(("asc", "desc")),
    )
    def find_some(
        self,
        user: str | None,
        session: str | None,
        kinds: set[str],
        span: tuple[datetime, datetime] | None,
        limit: int | None,
        order: str,
    ) -> None:
        """Find with some filters."""
        filters: dict[str, Any] = {"logType": tuple(sorted(kinds))}
        if user is not None:
            filters["userId"] = user
        if session is not None:
            filters["sessionId"] = session
        if span is not None:
            filters["fromTime"], filters["toTime"] = sorted(span)
        self.find(filters, limit, order)
        tell("find")

    def find(self, filters: dict[str, Any], limit: int | None, order: str) -> None:
        """Find, and compare with the list; by pages if there is a limit."""
        wanted = [
            one
            for one in self.kept
            if filters.get("userId") in (None, one[0])
            and filters.get("sessionId") in (None, one[1])
            and one[3] in filters["logType"]
            and ("fromTime" not in filters or filters["fromTime"] <= one[2] <= filters["toTime"])
        ]
        wanted.sort(key=lambda one: (one[2], one[4]), reverse=order == "desc")
        pages: dict[str, int] = {} if limit is None else {"limit": limit}
        times_: dict[str, str] = {name: filters[name].isoformat() for name in ("fromTime", "toTime") if name in filters}
        path = f"/api/retrievelogs?{urlencode({**filters, **times_, 'order': order, **pages}, doseq=True)}"
        found = []
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=WAIT_SECONDS)) as connection:
            while path:
                connection.request("GET", path, headers={"accept": "application/x-ndjson"})
                answer = connection.getresponse()
                body = answer.read()
                assert answer.status == 200, body
                found += [json.loads(line) for line in body.splitlines()]
                link = answer.headers.get("link", "")
                path = link[1 : link.index(">")] if link else ""
        note(f"{len(wanted)} wanted, {len(found)} found")
        assert [
            (one["userId"], one["sessionId"], datetime.fromisoformat(one["time"]), one["type"], one["properties"]["n"])
            for one in found
        ] == wanted
        assert len({one["seq"] for one in found}) == len(found)


def test_the_server_is_a_list() -> None:
    """Whatever is sent, sent again, killed, flushed and merged, every find gives what a list would give."""
    counts.clear()
    health = (HealthCheck.too_slow, HealthCheck.data_too_large)
    Footpath.TestCase.settings = settings(
        max_examples=MODEL, stateful_step_count=STEPS, deadline=None, suppress_health_check=health, print_blob=True
    )
    with contextlib.ExitStack() as stack:
        case = Footpath.TestCase()
        stack.callback(case.doCleanups)
        case.runTest()
    publish("model", runs=MODEL, **counts)
