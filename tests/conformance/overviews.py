"""What every overview should be: a list comprehension over the actions that were kept, whatever keeps them."""

import math
import sys
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal

from hypothesis import strategies as st
from msgspec import to_builtins

from footpath.action import MAX_MICROS, MIN_MICROS, TYPE_BITS
from footpath.find.base import Overviews
from footpath.overview import asked
from footpath.query import Query, filters, rfc3339
from tests.conformance.model import matching

DAY = 86_400_000_000
START = 1_793_000_000_000_000 // DAY * DAY
PAGES = ["home", "item/1", 'a"\\ü', "a\x00", "", "😀"]
SIZES = [0, 1, 7, 100, 1280, 99.5, 10**30, 10**400, -5, None, "1280", True, [1], 5e-324]

times = st.sampled_from([MIN_MICROS, -1, 0, MAX_MICROS]) | st.integers(START, START + 3 * DAY)
pages = st.sampled_from([*PAGES, None])
other = pages | st.sampled_from([5, True, ["home"], {"page": "home"}])


@st.composite
def actions(draw: st.DrawFn) -> tuple[int, str, dict[str, Any]]:
    """Time, type and properties: those that overviews look at, of the types that they should have and of others."""
    kind = draw(st.sampled_from(sorted(TYPE_BITS)))
    made: dict[str, Any] = {}
    if draw(st.booleans()):
        made["page"] = draw(other)
    if kind == "NAVIGATE":
        made |= {name: draw(pages) for name in ("pageFrom", "pageTo") if draw(st.booleans())}
    else:
        place = st.sampled_from([0, 1, 50, 1279, 1280, 0.5, -1, 10**29, 10**400, None])
        made |= {name: draw(place) for name in ("locationX", "locationY") if draw(st.booleans())}
        size = st.just(1280) | st.sampled_from(SIZES)
        made |= {name: draw(size) for name in ("pageWidth", "pageHeight") if draw(st.integers(0, 3))}
    return draw(times), kind, made


Step = tuple[str, str, list[tuple[int, str, dict[str, Any]]]] | Literal["flush", "merge", "sum up"]
users = st.sampled_from(["u", "v"])
sessions = st.sampled_from(["s", "t", "ü"])
batches = st.tuples(users, sessions, st.lists(actions(), min_size=1, max_size=6))
steps: st.SearchStrategy[list[Step]] = st.lists(
    batches | st.sampled_from(["flush", "flush", "merge", "sum up"]),
    max_size=20,
)


@st.composite
def ranges(draw: st.DrawFn) -> dict[str, list[str]]:
    """The parameters of a time range, often of whole days."""
    first, last = sorted([draw(times), draw(times)])
    if draw(st.booleans()):
        last = max(MIN_MICROS, min(MAX_MICROS, last // DAY * DAY + DAY - 1))
        first = max(MIN_MICROS, first // DAY * DAY)
    return {"fromTime": [rfc3339(first)], "toTime": [rfc3339(last)]}


@dataclass(frozen=True)
class Kept:
    """An action that was kept."""

    user: str
    session: str
    time: int
    type: str
    properties: dict[str, Any]
    seq: int

    def page(self, *names: str) -> str | None:
        """The first of these properties that is text."""
        return next((self.properties[name] for name in names if isinstance(self.properties.get(name), str)), None)

    def cell(self, at: str, size: str, cells: int) -> int | None:
        """The column or row of a click."""
        place, whole = (number(self.properties.get(name)) for name in (at, size))
        if whole <= 0 or not 0 <= place <= whole:
            return None
        return min(math.floor(place / whole * 100), 99) * cells // 100


def east(time: int) -> int:
    """The offset of the clock that an action of this time comes with, in minutes; none at the ends of time."""
    return [0, -360, 330][time // 60_000_000 % 3] if MIN_MICROS + DAY < time < MAX_MICROS - DAY else 0


def local(time: int) -> str:
    """The time by that clock."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)
    return moment.astimezone(timezone(timedelta(minutes=east(time)))).isoformat()


def number(value: object) -> float:
    """A JSON number as it counts; -1 for anything else, and what no double holds."""
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > sys.float_info.max:
        return -1.0
    return float(value)


@dataclass
class Model(ABC):
    """A list of what was kept, beside a fitting that keeps it."""

    overviews: Overviews
    kept: list[Kept] = field(default_factory=list, kw_only=True)

    @abstractmethod
    def go(self, plan: list[Step]) -> None:
        """Keep batches, and have the fitting do what it does with them meanwhile, in the order of the plan."""

    def note(self, user: str, session: str, made: list[tuple[int, str, dict[str, Any]]]) -> dict[str, Any]:
        """Note that a batch is kept; the batch as it is submitted."""
        self.kept += [Kept(user, session, *one, len(self.kept) + place) for place, one in enumerate(made, 1)]
        return {
            "userId": user,
            "sessionId": session,
            "actions": [{"time": local(time), "type": kind, "properties": given} for time, kind, given in made],
        }

    def sessions(self, query: Query) -> list[dict[str, Any]]:
        """The sessions that a query should give."""
        groups: dict[str, list[Kept]] = {}
        for one in matching(self.kept, query):
            groups.setdefault(one.session, []).append(one)
        sign = 1 if query.order == "asc" else -1
        told = []
        for session, group in sorted(groups.items(), key=lambda item: (sign * item[1][-1].time, item[0])):
            of_type = Counter(one.type for one in group)
            first = (one.page("page", "pageFrom", "pageTo") for one in group)
            last = (one.page("page", "pageTo", "pageFrom") for one in reversed(group))
            told.append(
                {
                    "userId": group[0].user,
                    "sessionId": session,
                    "start": rfc3339(group[0].time),
                    "end": rfc3339(group[-1].time),
                    "utcOffset": east(group[0].time),
                    "actions": len(group),
                    "clicks": of_type["CLICK"],
                    "views": of_type["VIEW"],
                    "navigations": of_type["NAVIGATE"],
                    "firstPage": next((page for page in first if page is not None), None),
                    "lastPage": next((page for page in last if page is not None), None),
                }
            )
        return told

    def counts(self, query: Query, width: int) -> list[dict[str, Any]]:
        """The counts that a query should give."""
        buckets: dict[int, Counter[str]] = {}
        for one in matching(self.kept, query):
            buckets.setdefault(one.time // width * width, Counter())[one.type] += 1
        return [
            {"time": rfc3339(time), **{name: of_type[name] for name in TYPE_BITS}}
            for time, of_type in sorted(buckets.items())
        ]

    def clicks(self, query: Query, page: str, columns: int, rows: int) -> dict[str, Any]:
        """The heat grid that a query should give."""
        clicks = [one for one in matching(self.kept, query) if one.type == "CLICK" and one.page("page") == page]
        places = [
            (one.cell("locationY", "pageHeight", rows), one.cell("locationX", "pageWidth", columns)) for one in clicks
        ]
        cells = Counter((y, x) for y, x in places if x is not None and y is not None)
        return {
            "page": page,
            "columns": columns,
            "rows": rows,
            "clicks": len(clicks),
            "unplaced": len(clicks) - cells.total(),
            "cells": [{"x": x, "y": y, "count": cells[y, x]} for y, x in sorted(cells)],
        }

    def flows(self, query: Query, limit: int) -> dict[str, Any]:
        """The flows that a query should give."""
        ways = [
            (one.page("pageFrom"), one.page("pageTo")) for one in matching(self.kept, query) if one.type == "NAVIGATE"
        ]
        count = Counter((left, went) for left, went in ways if left is not None and went is not None)
        shown = sorted(count.items(), key=lambda item: (-item[1], item[0]))[:limit]
        return {
            "flows": [{"from": left, "to": went, "count": times} for (left, went), times in shown],
            "others": len(ways) - sum(times for _, times in shown),
        }


def check(here: Model, given_range: dict[str, list[str]], limit: int, cells: tuple[int, int]) -> None:
    """That every overview of a time range is right, by each of its other parameters."""
    for user in ("u", "v"):
        for order in ("asc", "desc"):
            check_sessions(here, {"userId": [user], "order": [order], "limit": [str(limit)], **given_range}, [])
    narrower: list[dict[str, list[str]]] = [
        {},
        {"userId": ["u"]},
        {"sessionId": ["s"], "logType": ["click", "navigate"]},
    ]
    for bucket, width in asked.WIDTHS.items():
        for more in narrower:
            question: asked.Given = {"bucket": [bucket], **more, **given_range}
            told = to_builtins(here.overviews.counts(asked.counts_of(question)))
            assert told["counts"] == here.counts(filters(question), width)
    for page in (page for page in PAGES if page):
        sizes = {"columns": [str(cells[0])], "rows": [str(cells[1])]}
        told = to_builtins(here.overviews.clicks(asked.clicks_of({"page": [page], **sizes, **given_range})))
        assert told == here.clicks(filters(given_range), page, *cells)
    for more in narrower[:2]:
        question = {"limit": [str(limit)], **more, **given_range}
        told = to_builtins(here.overviews.flows(asked.flows_of(question)))
        assert told == here.flows(filters(question), limit)


def check_sessions(here: Model, question: dict[str, list[str]], meanwhile: list[list[Step]]) -> None:
    """That the pages of sessions together are what there was at first, each full but the last."""
    limit = int(question["limit"][0])
    expected = here.sessions(asked.sessions_of(question).query)
    found: list[dict[str, Any]] = []
    while True:
        sessions, cursor = here.overviews.sessions(asked.sessions_of(question))
        found += to_builtins(sessions)
        if cursor is None:
            break
        assert len(sessions) == limit
        question = {**question, "cursor": [cursor]}
        if meanwhile:
            here.go(meanwhile.pop())
    assert found == expected
