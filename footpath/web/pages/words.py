"""How pages say things to people. Pure."""

import json
from datetime import datetime, timedelta
from typing import Any, NamedTuple

Properties = dict[str, Any]

_KNOWN = {
    "page", "title", "referrer", "viewedId", "pageFrom", "pageTo", "locationX", "locationY", "pageWidth", "pageHeight",
    "viewportWidth", "viewportHeight", "element", "text",
}  # fmt: skip
_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


class Action(NamedTuple):
    """An action as a page shows it; `gap` is how long it came after the one before, if that was a while."""

    time: str
    clock: str
    type: str
    said: str
    more: str
    gap: str


def said(kind: str, properties: Properties) -> str:
    """What somebody did, in a few words."""
    page = properties.get("page")
    on = f" on {_text(page)}" if page is not None else ""
    if kind == "NAVIGATE":
        return f"went {_text(properties.get('pageFrom', '?'))} → {_text(properties.get('pageTo', '?'))}"
    if kind == "VIEW":
        viewed = properties.get("viewedId", properties.get("title"))
        if viewed is None:
            return f"viewed{on or ' something'}"
        return f"viewed {_text(viewed)}" + (on if viewed != page else "")
    what = properties.get("text") or properties.get("element")
    at = (
        f" at {_text(properties['locationX'])}, {_text(properties['locationY'])}"
        if properties.get("locationX") is not None and properties.get("locationY") is not None
        else ""
    )
    return (f"clicked “{_text(what)}”" if what else "clicked") + at + on


def more(properties: Properties) -> str:
    """The properties that `said` leaves out, as JSON; empty if there are none."""
    left = {name: value for name, value in properties.items() if name not in _KNOWN}
    return json.dumps(left, ensure_ascii=False) if left else ""


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
    """The user's own day and clock, to the minute: 2018-10-20 21:37."""
    return f"{time[:10]} {time[11:16]}"


def timeline(lines: list[dict[str, Any]], pause: float = 60.0) -> list[Action]:
    """The actions of a session in the order of time, with pauses of over a minute between them."""
    shown = []
    before: str | None = None
    for line in lines:
        seconds = 0.0 if before is None else between(before, line["time"])
        before = line["time"]
        properties = line["properties"]
        shown.append(
            Action(
                before,
                clock(before),
                line["type"],
                said(line["type"], properties),
                more(properties),
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


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
