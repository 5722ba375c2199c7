"""Overviews over an Iceberg table, by whichever engine reads it: the statements of `footpath.find.summing`.

As a find does (see `footpath.aws.find`), an overview looks at the table's properties first, and counts each action
once, however often it was put. Nothing is summed up ahead: an overview of all users reads the actions of its time, so
a range of days is what keeps it quick, and cheap in Athena.
"""

from typing import Any

from footpath.aws.find import TableFind
from footpath.find import sql, summing
from footpath.find.base import Overviews, SessionsPage
from footpath.find.sql import TRINO, Bindings
from footpath.find.summing import Sum
from footpath.overview.asked import ClicksOf, CountsOf, FlowsOf, SessionsOf
from footpath.overview.told import Clicks, Counts, Flows
from footpath.query import Query


class TableOverviews(Overviews):
    """Overviews over the table of a find. Any thread may use it."""

    def __init__(self, find: TableFind) -> None:
        """Sum up what `find` finds."""
        self._find = find

    def sessions(self, asked: SessionsOf) -> SessionsPage:
        """See `Overviews.sessions`."""
        statement, after = summing.sessions(TRINO, asked)
        last_seq, query = self._find.bounded(asked.query, is_page=True)
        rows = self._rows(statement, query, after)
        return summing.sessions_told(TRINO, asked, rows, last_seq if query.last_seq is None else query.last_seq)

    def counts(self, asked: CountsOf) -> Counts:
        """See `Overviews.counts`."""
        return summing.counts_told(asked, self._summed(asked.query, summing.counts(TRINO, asked)))

    def clicks(self, asked: ClicksOf) -> Clicks:
        """See `Overviews.clicks`."""
        return summing.clicks_told(asked, self._summed(asked.query, summing.clicks(TRINO, asked)))

    def flows(self, asked: FlowsOf) -> Flows:
        """See `Overviews.flows`."""
        return summing.flows_told(TRINO, self._summed(asked.query, summing.flows(TRINO, asked)))

    def _summed(self, query: Query, wanted: Sum) -> list[tuple[Any, ...]]:
        _, query = self._find.bounded(query, is_page=False)
        return self._rows(wanted.added.replace("{}", f"({wanted.taken})"), query, wanted.bindings)

    def _rows(self, statement: str, query: Query, bindings: Bindings) -> list[tuple[Any, ...]]:
        """All rows of a statement over the actions that match, which are bounded by what is asked for."""
        source, values = sql.once(self._find.engine.table, query)
        begun = self._find.engine.begin(sql.in_order(statement.replace("{}", source), values | bindings))
        return [row for chunk in begun.rows for row in chunk]
