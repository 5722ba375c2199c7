"""Overviews by DuckDB: one statement that sums up the hot rows and live parts of one snapshot.

Counts, clicks and flows take whole sums from summaries where there are any (see `ahead`), so that they need not look at
every action of a day among a hundred million. The statements are those of `summing`. Memory is that of the groups,
which DuckDB spills; an answer is bounded by `footpath.overview`.
"""

from typing import Any

from footpath.find import ahead, sql, summing
from footpath.find.ahead import Ahead
from footpath.find.base import Overviews, SessionsPage
from footpath.find.duckdb import DuckdbFind
from footpath.find.sql import DUCKDB
from footpath.find.summing import Sum
from footpath.overview.asked import WIDTHS, ClicksOf, CountsOf, FlowsOf, SessionsOf
from footpath.overview.told import Clicks, Counts, Flows
from footpath.query import Query
from footpath.store.known import bucket
from footpath.store.summaries import CLICK, COUNT, FLOW, UNIT, Summaries

_FLOWS = Ahead(FLOW, "SELECT a AS went_from, b AS went_to, n FROM {}")


class DuckdbOverviews(Overviews):
    """Overviews over the data folder of a find. Any thread may use it."""

    def __init__(self, find: DuckdbFind) -> None:
        """Sum up what `find` finds."""
        self._find = find
        self._summaries = Summaries(find.folder)

    def sessions(self, asked: SessionsOf) -> SessionsPage:
        """See `Overviews.sessions`."""
        statement, after = summing.sessions(DUCKDB, asked)
        rows: list[tuple[Any, ...]] = []
        with self._find.look(asked.query) as view:
            source, bound = view.source(view.parts)
            where, values = sql.condition(view.query)
            if source:
                with view.reading():
                    view.cursor.execute(statement.replace("{}", f"({source}) WHERE {where}"), bound | values | after)
                    rows = view.cursor.fetchall()
            last_seq = view.last_seq if asked.query.last_seq is None else asked.query.last_seq
        return summing.sessions_told(DUCKDB, asked, rows, last_seq)

    def counts(self, asked: CountsOf) -> Counts:
        """See `Overviews.counts`."""
        width = WIDTHS[asked.bucket]
        types = ", ".join(f"'{name}'" for name in asked.query.types or summing.TYPES)
        made = Ahead(COUNT, f"SELECT {bucket('began', width)} AS began, a AS type, n FROM {{}} AND a IN ({types})")
        may_look_ahead = width % UNIT[COUNT] == 0
        rows = self._rows(asked.query, summing.counts(DUCKDB, asked), made, may_look_ahead=may_look_ahead)
        return summing.counts_told(asked, rows)

    def clicks(self, asked: ClicksOf) -> Clicks:
        """See `Overviews.clicks`."""
        page, _ = summing.page_of(asked)
        made = Ahead(CLICK, f"SELECT a AS page, x, y, n FROM {{}} AND a = {page}")
        return summing.clicks_told(asked, self._rows(asked.query, summing.clicks(DUCKDB, asked), made))

    def flows(self, asked: FlowsOf) -> Flows:
        """See `Overviews.flows`."""
        return summing.flows_told(DUCKDB, self._rows(asked.query, summing.flows(DUCKDB, asked), _FLOWS))

    def _rows(self, query: Query, wanted: Sum, made: Ahead, *, may_look_ahead: bool = True) -> list[tuple[Any, ...]]:
        """See `ahead.rows`. What one user or one session did is in no summary."""
        is_ahead = may_look_ahead and query.user_id is None and query.session_id is None
        with self._find.look(query, with_live=is_ahead) as view:
            return ahead.rows(view, self._summaries if is_ahead else None, wanted, made)
