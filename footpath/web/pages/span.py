"""The time that a page is about: two parameters as the API has them, and some days as the default. Pure."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from footpath.query import instant, rfc3339

DAY = 86_400_000_000


class Span(NamedTuple):
    """Both ends as they are shown and sent, and in microseconds since 1970 UTC."""

    first: str
    last: str
    time_from: int
    time_to: int

    @property
    def parameters(self) -> dict[str, list[str]]:
        """The parameters that ask for it."""
        return {"fromTime": [self.first], "toTime": [self.last]}

    @property
    def ends(self) -> tuple[str, str]:
        """Its ends as RFC 3339, for an axis."""
        return rfc3339(self.time_from), rfc3339(self.time_to)


def span(first: str | None, last: str | None, days: int, now: datetime) -> Span:
    """The span that was asked for; the last so many days, today among them, where an end is missing.

    Raises:
        BadQuery: an end is no time.
    """
    today = now.astimezone(UTC).date()
    last = last or today.isoformat()
    time_to = instant("toTime", last, end_of_day=True)
    if not first:
        day = datetime.fromtimestamp(time_to / 1_000_000, UTC).date() - timedelta(days=days - 1)
        first = day.isoformat()
    return Span(first, last, instant("fromTime", first), time_to)
