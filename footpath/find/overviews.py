"""Overviews by DuckDB: one statement that sums up the hot rows and live parts of one snapshot.

What of an action's properties counts, here and for whoever makes such sums ahead:

- a page is a property of text: `page` of clicks and views, `pageFrom` and `pageTo` of navigations;
- a click has its place in the grid if its page has a width and a height above 0 and it lies on the page, edges
  included; else it is unplaced;
- a navigation is a flow if both its pages are known; else it counts among the others.

Memory is that of the groups, which DuckDB spills; an answer is bounded by `footpath.overview`.
"""

from typing import Any

from footpath.errors import BadQuery
from footpath.find import sql
from footpath.find.base import Overviews, SessionsPage
from footpath.find.duckdb import DuckdbFind
from footpath.find.view import View
from footpath.overview.asked import (
    GRID,
    MAX_BUCKETS,
    WIDTHS,
    ClicksOf,
    CountsOf,
    FlowsOf,
    Place,
    SessionsOf,
    cursor,
)
from footpath.overview.told import ISO, Cell, Clicks, Count, Counts, Flow, Flows, Session
from footpath.query import rfc3339

FROM, TO, PAGE, X, Y, WIDTH, HEIGHT = range(1, 8)
PATHS = "['$.pageFrom', '$.pageTo', '$.page', '$.locationX', '$.locationY', '$.pageWidth', '$.pageHeight']"
KNOWN = f"json_extract(properties, {PATHS}) AS known"
"""What an overview needs of the properties, in one look at them: a list of JSON, by the places above."""


BY_TYPE = ", ".join(f"count(*) FILTER (type = '{name}')" for name in ("CLICK", "VIEW", "NAVIGATE"))


def text(place: int) -> str:
    """The SQL of a known property as text; NULL if it is none."""
    return f"CASE WHEN starts_with(known[{place}]::VARCHAR, '\"') THEN known[{place}] ->> '$' END"


def number(place: int) -> str:
    """The SQL of a known property as a number; NULL if it is none: text keeps its quotes, and so is none."""
    return f"TRY_CAST(known[{place}]::VARCHAR AS DOUBLE)"


def cell(at: int, size: int) -> str:
    """The SQL of the column or row of the `GRID` that a click falls into; NULL if it is not on the page."""
    place, whole = number(at), number(size)
    return (
        f"CASE WHEN {whole} > 0 AND {place} >= 0 AND {place} <= {whole}"
        f" THEN CAST(least(floor({place} / {whole} * {GRID}), {GRID - 1}) AS UTINYINT) END"
    )


def bucket(width: int) -> str:
    """The SQL of the start of the bucket, in microseconds, that an action's time is in; also before 1970."""
    return f"epoch_us(time) - ((epoch_us(time) % {width}) + {width}) % {width}"


class DuckdbOverviews(Overviews):
    """Overviews over the data folder of a find. Any thread may use it."""

    def __init__(self, find: DuckdbFind) -> None:
        """Sum up what `find` finds."""
        self._find = find

    def sessions(self, asked: SessionsOf) -> SessionsPage:
        """See `Overviews.sessions`."""
        order = asked.query.order
        later = "<" if order == "desc" else ">"
        bindings: dict[str, Any] = {}
        where = "true"
        if asked.after is not None:
            where = f"ended {later} $after_end OR (ended = $after_end AND session_id > $after_session)"
            bindings = {"after_end": asked.after.end, "after_session": asked.after.session_id}
        with self._find.look(asked.query) as view:
            rows = _rows(
                view,
                "SELECT * FROM (SELECT session_id, epoch_us(min(time)) AS began, epoch_us(max(time)) AS ended,"
                f" count(*), {BY_TYPE},"
                f" arg_min(coalesce({text(PAGE)}, {text(FROM)}, {text(TO)}), spot),"
                f" arg_max(coalesce({text(PAGE)}, {text(TO)}, {text(FROM)}), spot)"
                f" FROM (SELECT session_id, time, type, row(time, seq) AS spot, {KNOWN} FROM {{}}) GROUP BY session_id)"
                f" WHERE {where} ORDER BY ended {order}, session_id LIMIT {asked.limit + 1}",
                bindings,
            )
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
        with self._find.look(asked.query) as view:
            rows = _rows(
                view,
                f"SELECT began, {BY_TYPE} FROM (SELECT {bucket(WIDTHS[asked.bucket])} AS began, type FROM {{}})"
                f" GROUP BY began ORDER BY began LIMIT {MAX_BUCKETS + 1}",
            )
        if len(rows) > MAX_BUCKETS:
            raise BadQuery(
                f"these are more than {MAX_BUCKETS} buckets of one {asked.bucket}; take a wider one or a shorter range"
            )
        return Counts(ISO[asked.bucket], [Count(rfc3339(began), *numbers) for began, *numbers in rows])

    def clicks(self, asked: ClicksOf) -> Clicks:
        """See `Overviews.clicks`."""
        with self._find.look(asked.query) as view:
            rows = _rows(
                view,
                f"SELECT x * {asked.columns} // {GRID} AS x, y * {asked.rows} // {GRID} AS y, count(*) AS clicks"
                f" FROM (SELECT {text(PAGE)} AS page, {cell(X, WIDTH)}::INTEGER AS x, {cell(Y, HEIGHT)}::INTEGER AS y"
                f" FROM (SELECT {KNOWN} FROM {{}}))"
                " WHERE page = $page GROUP BY ALL ORDER BY y, x",
                {"page": asked.page},
            )
        cells = [Cell(*row) for row in rows if row[0] is not None and row[1] is not None]
        clicks, placed = sum(row[2] for row in rows), sum(cell.count for cell in cells)
        return Clicks(asked.page, asked.columns, asked.rows, clicks, clicks - placed, cells)

    def flows(self, asked: FlowsOf) -> Flows:
        """See `Overviews.flows`."""
        with self._find.look(asked.query) as view:
            rows = _rows(
                view,
                "SELECT went_from, went_to, went, sum(went) OVER ()::BIGINT AS everything"
                " FROM (SELECT went_from, went_to, count(*) AS went"
                f" FROM (SELECT {text(FROM)} AS went_from, {text(TO)} AS went_to FROM (SELECT {KNOWN} FROM {{}}))"
                " GROUP BY went_from, went_to)"
                " ORDER BY went_from IS NULL OR went_to IS NULL, went DESC, went_from, went_to"
                f" LIMIT {asked.limit}",
            )
        flows = [
            Flow(went_from, went_to, went) for went_from, went_to, went, _ in rows if None not in {went_from, went_to}
        ]
        return Flows(flows, (rows[0][3] if rows else 0) - sum(flow.count for flow in flows))


def _rows(view: View, statement: str, bindings: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
    """The rows of a statement over what the view's query matches, which stands for the `{}` in it."""
    source, bound = view.source(view.parts)
    if not source:
        return []
    where, values = sql.condition(view.query)
    with view.reading():
        view.cursor.execute(statement.replace("{}", f"({source}) WHERE {where}"), bound | values | (bindings or {}))
        return view.cursor.fetchall()
