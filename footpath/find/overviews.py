"""Overviews by DuckDB: one statement that sums up the hot rows and live parts of one snapshot.

Counts, clicks and flows take whole sums from summaries where there are any (see `ahead`), so that they need not look at
every action of a day among a hundred million. What of an action's properties counts stands in `footpath.store.known`.
Memory is that of the groups, which DuckDB spills; an answer is bounded by `footpath.overview`.
"""

from typing import Any

from footpath.errors import BadQuery
from footpath.find import ahead, sql
from footpath.find.ahead import Sum
from footpath.find.base import Overviews, SessionsPage
from footpath.find.duckdb import DuckdbFind
from footpath.overview.asked import GRID, MAX_BUCKETS, WIDTHS, ClicksOf, CountsOf, FlowsOf, Place, SessionsOf, cursor
from footpath.overview.told import ISO, Cell, Clicks, Count, Counts, Flow, Flows, Session
from footpath.query import Query, rfc3339
from footpath.store.known import FROM, HEIGHT, KNOWN, PAGE, TO, WIDTH, X, Y, bucket, cell, text
from footpath.store.summaries import CLICK, COUNT, FLOW, UNIT, Summaries

_TYPES = ("CLICK", "VIEW", "NAVIGATE")
_SESSIONS = f"""
SELECT session_id, epoch_us(min(time)) AS began, epoch_us(max(time)) AS ended,
       arg_min(utc_offset, spot), count(*),
       {", ".join(f"count(*) FILTER (type = '{name}')" for name in _TYPES)},
       arg_min(coalesce({text(PAGE)}, {text(FROM)}, {text(TO)}), spot),
       arg_max(coalesce({text(PAGE)}, {text(TO)}, {text(FROM)}), spot)
FROM (SELECT session_id, time, utc_offset, type, row(time, seq) AS spot, {KNOWN} FROM {{}}) GROUP BY session_id
"""
_CLICKS = Sum(
    CLICK,
    f"SELECT {text(PAGE)} AS page, {cell(X, WIDTH)} AS x, {cell(Y, HEIGHT)} AS y, 1 AS n"
    f" FROM (SELECT {KNOWN} FROM {{}})",
    "SELECT a AS page, x, y, n FROM {} AND a = $page",
)
_FLOWS = Sum(
    FLOW,
    f"SELECT {text(FROM)} AS went_from, {text(TO)} AS went_to, 1 AS n FROM (SELECT {KNOWN} FROM {{}})",
    "SELECT a AS went_from, b AS went_to, n FROM {}",
)


class DuckdbOverviews(Overviews):
    """Overviews over the data folder of a find. Any thread may use it."""

    def __init__(self, find: DuckdbFind) -> None:
        """Sum up what `find` finds."""
        self._find = find
        self._summaries = Summaries(find.folder)

    def sessions(self, asked: SessionsOf) -> SessionsPage:
        """See `Overviews.sessions`."""
        order = asked.query.order
        later = "<" if order == "desc" else ">"
        after: dict[str, Any] = {}
        beyond = "true"
        if asked.after is not None:
            beyond = f"ended {later} $after_end OR (ended = $after_end AND session_id > $after_session)"
            after = {"after_end": asked.after.end, "after_session": asked.after.session_id}
        rows: list[tuple[Any, ...]] = []
        with self._find.look(asked.query) as view:
            source, bound = view.source(view.parts)
            where, values = sql.condition(view.query)
            if source:
                with view.reading():
                    view.cursor.execute(
                        f"SELECT * FROM ({_SESSIONS.replace('{}', f'({source}) WHERE {where}')})"
                        f" WHERE {beyond} ORDER BY ended {order}, session_id LIMIT {asked.limit + 1}",
                        bound | values | after,
                    )
                    rows = view.cursor.fetchall()
            last_seq = view.last_seq if asked.query.last_seq is None else asked.query.last_seq
        user_id = str(asked.query.user_id)
        sessions = [
            Session(user_id, session_id, rfc3339(began), rfc3339(ended), *rest)
            for session_id, began, ended, *rest in rows[: asked.limit]
        ]
        if len(rows) <= asked.limit:
            return SessionsPage(sessions, None)
        session_id, _, ended, *_ = rows[asked.limit - 1]
        return SessionsPage(sessions, cursor(asked, Place(ended, session_id), last_seq))

    def counts(self, asked: CountsOf) -> Counts:
        """See `Overviews.counts`."""
        width = WIDTHS[asked.bucket]
        types = ", ".join(f"'{name}'" for name in asked.query.types or _TYPES)
        wanted = Sum(
            COUNT,
            f"SELECT {bucket('epoch_us(time)', width)} AS began, type, 1 AS n FROM {{}}",
            f"SELECT {bucket('began', width)} AS began, a AS type, n FROM {{}} AND a IN ({types})",
        )
        sums = ", ".join(f"coalesce(sum(n) FILTER (type = '{name}'), 0)" for name in _TYPES)
        rows = self._rows(
            asked.query,
            wanted,
            f"SELECT began, {sums} FROM {{}} GROUP BY began ORDER BY began LIMIT {MAX_BUCKETS + 1}",
            may_look_ahead=width % UNIT[COUNT] == 0,
        )
        if len(rows) > MAX_BUCKETS:
            raise BadQuery(
                f"these are more than {MAX_BUCKETS} buckets of one {asked.bucket}; take a wider one or a shorter range"
            )
        return Counts(ISO[asked.bucket], [Count(rfc3339(began), *map(int, numbers)) for began, *numbers in rows])

    def clicks(self, asked: ClicksOf) -> Clicks:
        """See `Overviews.clicks`."""
        rows = self._rows(
            asked.query,
            _CLICKS,
            f"SELECT x::INTEGER * {asked.columns} // {GRID} AS x, y::INTEGER * {asked.rows} // {GRID} AS y, sum(n)"
            " FROM {} WHERE page = $page GROUP BY ALL ORDER BY y, x",
            {"page": asked.page},
        )
        cells = [Cell(x, y, int(n)) for x, y, n in rows if x is not None and y is not None]
        clicks, placed = sum(int(n) for _, _, n in rows), sum(cell.count for cell in cells)
        return Clicks(asked.page, asked.columns, asked.rows, clicks, clicks - placed, cells)

    def flows(self, asked: FlowsOf) -> Flows:
        """See `Overviews.flows`."""
        rows = self._rows(
            asked.query,
            _FLOWS,
            "SELECT went_from, went_to, went, sum(went) OVER () AS everything"
            " FROM (SELECT went_from, went_to, sum(n) AS went FROM {} GROUP BY went_from, went_to)"
            " ORDER BY went_from IS NULL OR went_to IS NULL, went DESC, went_from, went_to"
            f" LIMIT {asked.limit}",
        )
        flows = [Flow(left, went, int(n)) for left, went, n, _ in rows if left is not None and went is not None]
        return Flows(flows, int(rows[0][3] if rows else 0) - sum(flow.count for flow in flows))

    def _rows(
        self,
        query: Query,
        wanted: Sum,
        statement: str,
        bindings: dict[str, Any] | None = None,
        *,
        may_look_ahead: bool = True,
    ) -> list[tuple[Any, ...]]:
        """See `ahead.rows`. What one user or one session did is in no summary."""
        is_ahead = may_look_ahead and query.user_id is None and query.session_id is None
        with self._find.look(query, with_live=is_ahead) as view:
            return ahead.rows(view, self._summaries if is_ahead else None, wanted, statement, bindings)
