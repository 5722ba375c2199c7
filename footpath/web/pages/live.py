"""/ui/tail and /ui/status: what comes in, and how the server is."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from msgspec.json import encode
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from footpath.action import TYPE_BITS
from footpath.journal.rejected import Chosen
from footpath.keys.ring import Ring
from footpath.query import rfc3339
from footpath.web.pages import words
from footpath.web.pages.door import headers_with, key_of
from footpath.web.pages.show import Show
from footpath.web.rejects import NO_REJECTS, ReadRejects
from footpath.web.report import Report
from footpath.web.tail import NO_TAIL, Tail

REJECTS = 10  # shown, the newest
_TAIL_FIELDS = ("userId", "sessionId", "logType")


@dataclass
class Sample:
    """How many actions had been accepted at a moment, to tell a rate."""

    accepted: int = 0
    at: float = field(default_factory=time.monotonic)


class Live:
    """The two pages."""

    def __init__(
        self,
        show: Show,
        tail: Tail,
        report: Callable[[], Report],
        measure: Callable[[], Callable[[], Mapping[str, float]]],
        ready: Callable[[], Callable[[], dict[str, str]]],
        rejects: Callable[[], ReadRejects | None],
        keys: Callable[[], Ring],
    ) -> None:
        """Look with `show`; `tail` gives events, the others tell of the running server."""
        self._show = show
        self._tail = tail
        self._report, self._measure, self._ready, self._rejects = report, measure, ready, rejects
        self._keys = keys
        self._last = Sample()

    async def tail(self, request: Request) -> Response:
        """The page, which has JavaScript fetch the events.

        Raises:
            HTTPException: the server tells of none.
        """
        if not self._show.sources.follows():
            raise HTTPException(404, NO_TAIL)
        given = request.query_params
        asked = {name: given.get(name, "").strip() for name in _TAIL_FIELDS}
        return self._show.page(request, "tail", asked=asked, kinds=list(TYPE_BITS))

    async def events(self, request: Request) -> Response:
        """The events: `/api/tail` with the key of the cookie, in words. Empty fields of the form are left out."""
        query = urlencode([(name, text) for name, text in request.query_params.multi_items() if text.strip()])
        changed = {"query_string": query.encode(), "headers": headers_with(request, key_of(request))}
        return await self._tail.show(Request(dict(request.scope) | changed, request.receive), _row)

    async def status(self, request: Request) -> Response:
        """How the server is."""
        report = self._report()
        _, taken = report.mine()
        for other in (await run_in_threadpool(report.others)).values():
            taken.add(other)
        measured = await run_in_threadpool(self._measure())
        wrong = await run_in_threadpool(self._ready())
        actions = {
            name: sum(taken.counters.get(f"footpath_actions_{name}", {}).values())
            for name in ("received", "accepted", "duplicate", "rejected")
        }
        now = Sample(actions["accepted"])
        rate = (now.accepted - self._last.accepted) / max(0.001, now.at - self._last.at)
        self._last = now
        is_admin = self._show.door.is_open_to("admin", request)
        return self._show.page(
            request,
            "status",
            is_well=not wrong,
            wrong=wrong if is_admin else {},
            rate=max(0.0, rate),
            actions=actions,
            measured=measured,
            gauges=taken.gauges,
            is_admin=is_admin,
            keys=self._told_keys() if is_admin else [],
            rejects=await self._newest_rejects() if is_admin else [],
            no_rejects="None is kept." if self._rejects() else f"{NO_REJECTS[0].upper()}{NO_REJECTS[1:]}.",
            now=rfc3339(int(datetime.now(UTC).timestamp()) * 1_000_000),
        )

    def _told_keys(self) -> list[dict[str, str]]:
        now = time.time_ns() // 1000
        return [
            {"name": key.name, "role": key.role, "state": key.state(now), "origins": ", ".join(key.origins)}
            for key in self._keys().keys()  # noqa: SIM118 - a ring is no dictionary
        ]

    async def _newest_rejects(self) -> list[dict[str, Any]]:
        read = self._rejects()
        if read is None:
            return []
        found = await run_in_threadpool(read, Chosen(), 0, REJECTS, True)  # noqa: FBT003
        return [
            {"id": one.id, "at": rfc3339(one.at), "user": one.user_id, "code": one.code, "message": one.message}
            for one in found
        ]


def _row(line: str) -> str:
    return encode(words.row(line)).decode()
