"""How pages say things to people. Pure."""

import json
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from msgspec.json import decode

from footpath.find.text import moment
from footpath.said import Properties, said

_OF_THE_PAGE = {
    "page", "title", "referrer", "viewedId", "pageFrom", "pageTo", "locationX", "locationY", "pageWidth", "pageHeight",
    "viewportWidth", "viewportHeight", "element", "text",
}  # fmt: skip
_EPOCH = "1970-01-01T00:00:00Z"
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


class Action(NamedTuple):
    """An action as a page shows it; `gap` is how long it came after the one before, if that was a while."""

    time: str
    clock: str
    type: str
    said: str
    more: str
    gap: str


def more(left: Properties) -> str:
    """Of the properties that words leave out those that are not about the page itself, as JSON; empty if none are."""
    strange = {name: value for name, value in left.items() if name not in _OF_THE_PAGE}
    return json.dumps(strange, ensure_ascii=False) if strange else ""


def row(line: bytes | str) -> dict[str, str]:
    """A line of NDJSON as tables show it, the live tail's among them."""
    action = decode(line)
    told = said(action["type"], action["properties"])
    return {
        "time": action["time"],
        "when": day_and_clock(action["time"]),
        "userId": action["userId"],
        "sessionId": action["sessionId"],
        "type": action["type"].lower(),
        "said": told.words,
        "more": more(told.left),
    }


def lasting(seconds: float) -> str:
    """A length of time, in its largest unit."""
    for size, name in _UNITS:
        if seconds >= size:
            number = round(seconds / size)
            return f"{number} {name}{'' if number == 1 else 's'}"
    return "an instant"


def between(earlier: str, later: str) -> float:
    """Seconds from one RFC 3339 time to another."""
    return (instant(later) - instant(earlier)) / timedelta(seconds=1)


def instant(time: str) -> datetime:
    """An RFC 3339 time; Python 3.11 reads fractions of any length."""
    return datetime.fromisoformat(time)


def clock(time: str) -> str:
    """The user's own clock, to the second: 21:37:28."""
    return time[11:19]


def day_and_clock(time: str) -> str:
    """The user's own day and clock, to the minute, and how far it is from UTC: 2018-10-20 21:37 UTC-06:00."""
    return f"{time[:10]} {time[11:16]} UTC{'' if time.endswith('Z') else time[-6:]}"


def local(time: str, utc_offset: int) -> str:
    """A time in UTC as `day_and_clock` of a clock that is so many minutes east of it."""
    return day_and_clock(moment(round(between(_EPOCH, time) * 1_000_000), utc_offset))


def timeline(lines: list[dict[str, Any]], pause: float = 60.0) -> list[Action]:
    """The actions of a session in the order of time, with pauses of over a minute between them."""
    shown = []
    before: str | None = None
    for line in lines:
        seconds = 0.0 if before is None else between(before, line["time"])
        before = line["time"]
        told = said(line["type"], line["properties"])
        shown.append(
            Action(
                before,
                clock(before),
                line["type"],
                told.words,
                more(told.left),
                lasting(seconds) if seconds >= pause else "",
            )
        )
    return shown


def number(value: float) -> str:
    """A count with its thousands apart."""
    return f"{value:,.0f}"


def size(value: float) -> str:
    """Bytes, in a unit that leaves three digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"
