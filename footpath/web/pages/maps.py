"""/ui/heatmap and /ui/flows: where people click on a page, and from which page to which they go."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from footpath.overview import asked as asking
from footpath.overview.told import Clicks
from footpath.web.pages import charts
from footpath.web.pages.show import Show
from footpath.web.pages.span import Span, span

GRID = 50  # columns and rows of a heatmap
LISTED = 40  # cells or flows in a table
NAMED = 200  # flows whose pages are offered


class Maps:
    """The two pages."""

    def __init__(self, show: Show) -> None:
        """Look with `show`."""
        self._show = show

    async def heatmap(self, request: Request) -> Response:
        """A week of clicks on a page."""
        of_time = _span(request, 7)
        name = request.query_params.get("page", "").strip()
        clicks: Clicks | None = None
        if name:
            pages, clicks = await asyncio.gather(self._pages(of_time), self._clicks(name, of_time))
        else:
            pages = await self._pages(of_time)
            name = pages[0] if pages else ""
            clicks = await self._clicks(name, of_time) if name else None

        def tell() -> dict[str, Any]:
            return {
                "span": of_time,
                "name": name,
                "pages": pages,
                "clicks": clicks,
                "cells": sorted(clicks.cells, key=lambda cell: -cell.count)[:LISTED] if clicks else [],
                "chart": charts.heat(clicks) if clicks else None,
            }

        return await self._show.large(request, "heatmap", tell)

    async def flows(self, request: Request) -> Response:
        """A day of navigations."""
        of_time = _span(request, 1)
        user_id = request.query_params.get("userId", "").strip()
        asked = asking.flows_of({**of_time.parameters, **({"userId": [user_id]} if user_id else {})})
        flows = await self._show.look(lambda: self._show.sources.overviews().flows(asked))

        def tell() -> dict[str, Any]:
            return {
                "span": of_time,
                "user_id": user_id,
                "flows": flows,
                "listed": flows.flows[:LISTED],
                "total": flows.others + sum(flow.count for flow in flows.flows),
                "chart": charts.flows(flows),
            }

        return await self._show.large(request, "flows", tell)

    async def _clicks(self, name: str, of_time: Span) -> Clicks:
        """The clicks on a page in that time."""
        grid = {"columns": [str(GRID)], "rows": [str(GRID)]}
        asked = asking.clicks_of({"page": [name], **of_time.parameters, **grid})
        return await self._show.look(lambda: self._show.sources.overviews().clicks(asked))

    async def _pages(self, of_time: Span) -> list[str]:
        """The pages that people went to in that time, the most frequent first."""
        asked = asking.flows_of({**of_time.parameters, "limit": [str(NAMED)]})
        flows = await self._show.look(lambda: self._show.sources.overviews().flows(asked))
        gone: dict[str, int] = {}
        for flow in flows.flows:
            gone[flow.to_page] = gone.get(flow.to_page, 0) + flow.count
        return sorted(gone, key=lambda page: -gone[page])


def _span(request: Request, days: int) -> Span:
    given = request.query_params
    return span(given.get("fromTime", "").strip(), given.get("toTime", "").strip(), days, datetime.now(UTC))
