"""/ui/: actions by user, session, type and time, with a histogram; the newest first."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from footpath.action import TYPE_BITS
from footpath.find.answer import page
from footpath.overview import asked as asking
from footpath.query import build, instant, rfc3339
from footpath.web.pages import charts, words
from footpath.web.pages.show import Show
from footpath.web.pages.span import span

SHOWN = 50  # actions on a page
DAYS = 7  # of the histogram, where no time is asked for
FIELDS = ("userId", "sessionId", "fromTime", "toTime", "cursor")


class Search:
    """The page."""

    def __init__(self, show: Show) -> None:
        """Look with `show`."""
        self._show = show

    async def answer(self, request: Request) -> Response:
        """Take one request: fields that are empty, as a form sends them, are fields that are not there."""
        given = request.query_params
        asked = {name: text for name in FIELDS if (text := given.get(name, "").strip())}
        types = [name for name in given.getlist("logType") if name]
        of_time = span(asked.get("fromTime"), asked.get("toTime"), DAYS, datetime.now(UTC))
        filters: dict[str, list[str]] = {
            name: [text] for name, text in asked.items() if name in {"userId", "sessionId"}
        }
        if types:
            filters["logType"] = types
        over = "fromTime" in asked or "toTime" in asked or not filters
        counted = asking.counts_of(filters | of_time.parameters)
        sources = self._show.sources
        older = None
        lines: list[bytes] = []
        if filters or asked:
            ranged = filters | (of_time.parameters if over else {}) | {"limit": [str(SHOWN)], "order": ["desc"]}
            query = build(ranged | ({"cursor": [asked["cursor"]]} if "cursor" in asked else {}))
            counts, found = await asyncio.gather(
                self._show.look(lambda: sources.overviews().counts(counted)),
                self._show.look(lambda: page(sources.find(), query, "ndjson")),
            )
            lines = [line for line in found.body.split(b"\n") if line]
            older = found.next_cursor
        else:
            counts = await self._show.look(lambda: sources.overviews().counts(counted))
        width = asking.WIDTHS[counted.bucket]

        def tell() -> dict[str, Any]:
            return {
                "asked": asked,
                "types": types,
                "kinds": list(TYPE_BITS),
                "is_search": bool(filters or asked),
                "rows": [words.row(line) for line in lines],
                "older": None if older is None else [*_pairs(asked, types), ("cursor", older)],
                "span": of_time,
                "counts": counts,
                "total": sum(count.CLICK + count.VIEW + count.NAVIGATE for count in counts.counts),
                "chart": charts.histogram(counts, *of_time.ends),
                "width": width // 1_000_000,
                "of_bucket": lambda time: _of_bucket(_pairs(asked, types), time, width),
            }

        return await self._show.large(request, "search", tell)


def _of_bucket(pairs: list[tuple[str, str]], time: str, width: int) -> list[tuple[str, str]]:
    """What to ask for the actions of one bucket, which begins at a time and is so many microseconds wide."""
    others = [pair for pair in pairs if pair[0] not in {"fromTime", "toTime"}]
    return [*others, ("fromTime", time), ("toTime", rfc3339(instant("fromTime", time) + width - 1))]


def _pairs(asked: dict[str, str], types: list[str]) -> list[tuple[str, str]]:
    named = [(name, text) for name, text in asked.items() if name != "cursor"]
    return named + [("logType", name) for name in types]
