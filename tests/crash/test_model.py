"""The real server does what a list does, whatever happens to it: a state machine against a model of a few lines.

hypothesis draws what happens: batches, the same sent again with its key, the same key with another body, `kill -9`,
restarts, waiting for a flush or a merge, expiry, users that are forgotten, also while it is killed, and finds with any
filters and pages. MODEL sets how many runs it draws, STEPS how much happens in each.
"""

import contextlib
import http.client
import json
import shutil
import tempfile
import threading
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from footpath.store.local import LocalStore
from tests.crash.process import WAIT_SECONDS, Server, check_folder, wait_for
from tests.proof import publish, times

MODEL = times("MODEL", 2)
STEPS = times("STEPS", 10)
USERS = ("a", "A", "b c", "é", "x" * 200)
FORGETTING = ("for good", "may return", "before")
SESSIONS = ("s", "S", "t")
KINDS = ("CLICK", "VIEW", "NAVIGATE")
BEGIN = datetime(2024, 3, 31, tzinfo=UTC)  # Europe's clocks change on this day

moments = st.integers(0, 5).map(lambda hours: BEGIN + timedelta(hours=hours, microseconds=hours % 2))
actions = st.tuples(moments, st.sampled_from(KINDS))
batches = st.tuples(st.sampled_from(USERS), st.sampled_from(SESSIONS), st.lists(actions, min_size=1, max_size=5))
delays = st.floats(0, 0.2)  # seconds between asking and the kill
DONE = (
    *("start", "post", "post for a forgotten user", "retry", "reuse a key", "find", "flush", "merge", "expire"),
    *("forget", "forget, killed meanwhile", "server", "both", "restart"),
)
counts: dict[str, int] = dict.fromkeys(DONE, 0)


def tell(what: str) -> None:
    """Count that something was done."""
    counts[what] += 1


class Footpath(RuleBasedStateMachine):
    """A server, and the list of what it was told: (user, session, time, type, n) in the order of acknowledgement."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="footpath-model-"))
        self.server = Server(self.folder / "data", FOOTPATH_FLUSH_SECONDS="0.1", FOOTPATH_PART_ACTIONS="5")
        self.server.start()
        self.kept: list[tuple[str, str, datetime, str, int]] = []
        self.keys: list[tuple[str, bytes, int]] = []
        """What was sent with which key, and how many actions the answer accepted."""
        self.refused: set[str] = set()
        """Users who were forgotten and may not return."""
        self.oldest: datetime | None = None
        """What is of an earlier time has expired."""
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

    @rule(some=st.lists(batches, min_size=1, max_size=4), keyed=st.booleans())
    def post_some(self, some: list[tuple[str, str, list[tuple[datetime, str]]]], keyed: bool) -> None:
        """Send some batches, a request each."""
        for batch in some:
            self.post(batch, keyed=keyed)

    def post(self, batch: tuple[str, str, list[tuple[datetime, str]]], *, keyed: bool) -> None:
        """Send a batch."""
        user, session, given = batch
        new = [(user, session, at, kind, self.number + place) for place, (at, kind) in enumerate(given)]
        wire = [{"time": at.isoformat(), "type": kind, "properties": {"n": n}} for _, _, at, kind, n in new]
        body = json.dumps({"userId": user, "sessionId": session, "actions": wire}).encode()
        key = f"key {self.number}" if keyed else ""
        status, said = self._post(body, key)
        accepted = 0 if user in self.refused else len(new)
        assert (status, said["accepted"]) == (200, accepted)
        assert [one["code"] for one in said["rejected"]] == ["user_forgotten"] * (len(new) - accepted)
        if accepted:
            self.kept += new
        self.number += len(new)
        if keyed:
            self.keys.append((key, body, accepted))
        tell("post" if accepted else "post for a forgotten user")

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """Send a batch again with its key: it is answered as before and kept once."""
        key, body, accepted = data.draw(st.sampled_from(self.keys))
        status, said = self._post(body, key)
        assert (status, said["accepted"]) == (200, accepted)
        tell("retry")

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def reuse(self, data: st.DataObject) -> None:
        """Send another batch with a key that was used: it is refused, and nothing is kept."""
        key, *_ = data.draw(st.sampled_from(self.keys))
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

    @precondition(lambda self: self.kept)
    @rule(hours=st.integers(0, 3))
    def expire(self, hours: int) -> None:
        """Restart it so that it keeps nothing of the first so many hours, nor of what has expired before."""
        limit = BEGIN + timedelta(hours=hours, minutes=1)
        self.oldest = limit if self.oldest is None else max(self.oldest, limit)
        kept = int((datetime.now(UTC) - self.oldest).total_seconds())  # the limit moves on: by minutes in a run
        self.server.set(FOOTPATH_KEEP=f"{kept}s")
        self.server.stop()
        self.server.start()
        tell("expire")

    @precondition(lambda self: self.kept)
    @rule(user=st.sampled_from(USERS), how=st.sampled_from(FORGETTING), before=moments, killed=st.none() | delays)
    def forget(self, user: str, how: str, before: datetime, killed: float | None) -> None:
        """Forget a user, perhaps so that they may return, or only what they did before a time.

        When it is killed while it forgets, asking again gives what was left to do.
        """
        query = {"may return": {"allowReturn": "true"}, "before": {"before": before.isoformat()}}.get(how, {})
        path = f"/api/users/{quote(user, safe='')}?{urlencode(query)}"
        if killed is not None:
            asking = threading.Thread(target=self._delete_unless_killed, args=(path,))
            asking.start()
            time.sleep(killed)
            self.server.kill("both")
            asking.join()
        status, receipt = self._delete(path)
        assert (status, receipt["until"] is not None) == (200, how == "for good")
        gone = [one for one in self.kept if one[0] == user and (how != "before" or one[2] < before)]
        alive = [one for one in gone if self.oldest is None or one[2] >= self.oldest]
        assert (len(alive) if killed is None else 0) <= receipt["actions"] <= len(gone)  # expired ones may be gone
        self.kept = [one for one in self.kept if one not in gone]
        if how == "for good":
            self.refused.add(user)
        elif how == "may return":
            self.refused.discard(user)
        tell("forget" if killed is None else "forget, killed meanwhile")

    def _delete(self, path: str) -> tuple[int, dict[str, Any]]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=WAIT_SECONDS)) as connection:
            connection.request("DELETE", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def _delete_unless_killed(self, path: str) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            self._delete(path)

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
            if (self.oldest is None or one[2] >= self.oldest)
            and filters.get("userId") in (None, one[0])
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
    """Whatever is sent, sent again, killed, flushed, merged, expired and forgotten, a find gives what a list would."""
    counts.update(dict.fromkeys(DONE, 0))
    health = (HealthCheck.too_slow, HealthCheck.data_too_large)
    Footpath.TestCase.settings = settings(
        max_examples=MODEL, stateful_step_count=STEPS, deadline=None, suppress_health_check=health, print_blob=True
    )
    with contextlib.ExitStack() as stack:
        case = Footpath.TestCase()
        stack.callback(case.doCleanups)
        case.runTest()
    publish("model", runs=MODEL, **counts)
