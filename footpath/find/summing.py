"""Overviews as SQL: what is asked -> a statement, and its rows -> what is told. Pure; in the two dialects of `sql`.

`{}` in a statement stands for where its rows come from. Counts, clicks and flows are in two steps: what is taken of
each action (`taken`), which a summary may have ahead, and a statement that adds it up, of which each row is one of the
answer. Where the dialects agree the text is the same, so that both give the same answers.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from footpath.errors import BadQuery
from footpath.find.base import SessionsPage
from footpath.find.sql import Bindings, Dialect
from footpath.overview.asked import GRID, MAX_BUCKETS, WIDTHS, ClicksOf, CountsOf, FlowsOf, Place, SessionsOf, cursor
from footpath.overview.told import ISO, Cell, Clicks, Count, Counts, Flow, Flows, Session
from footpath.query import rfc3339
from footpath.store.known import FROM, HEIGHT, PAGE, TO, WIDTH, X, Y, bucket, cell, text

TYPES = ("CLICK", "VIEW", "NAVIGATE")
PIECE = (
    500  # characters of a page that are bound at once: Athena takes 1,024 with quotation marks, those within doubled
)
Rows = Sequence[Sequence[Any]]


class Sum(NamedTuple):
    """What is taken of each action, the statement that adds it up, and what is bound in that."""

    taken: str
    added: str
    bindings: Bindings


def sessions(dialect: Dialect, asked: SessionsOf) -> tuple[str, Bindings]:
    """A statement over the actions of a user, with a row for each session of a page and one more if there is one."""
    known, order = dialect.known, asked.query.order
    pages = {
        "first_page": f"coalesce({', '.join(text(place, known) for place in (PAGE, FROM, TO))})",
        "last_page": f"coalesce({', '.join(text(place, known) for place in (PAGE, TO, FROM))})",
    }
    bindings: Bindings = {}
    beyond, numbers = "true", ", ".join(f"of_{name}" for name in TYPES)
    if asked.after is not None:
        later, end = "<" if order == "desc" else ">", dialect.instant.format("$after_end")
        beyond = f"ended {later} {end} OR (ended = {end} AND session_id > $after_session)"
        bindings = {"after_end": dialect.bound_instant(asked.after.end), "after_session": asked.after.session_id}
    statement = f"""
SELECT session_id, {dialect.told.format("began")}, {dialect.told.format("ended")}, utc_offset, actions, {numbers},
       {", ".join(dialect.page.format(name) for name in pages)}
FROM (SELECT session_id, min(time) AS began, max(time) AS ended, min_by(utc_offset, spot) AS utc_offset,
             count(*) AS actions,
             {", ".join(f"count(*) FILTER (WHERE type = '{name}') AS of_{name}" for name in TYPES)},
             min_by(first_page, spot) FILTER (WHERE first_page IS NOT NULL) AS first_page,
             max_by(last_page, spot) FILTER (WHERE last_page IS NOT NULL) AS last_page
      FROM (SELECT session_id, time, utc_offset, type, row(time, seq) AS spot,
                   {", ".join(f"{page} AS {name}" for name, page in pages.items())}
            FROM (SELECT session_id, time, utc_offset, type, seq, {known.columns} FROM {{}}))
      GROUP BY session_id)
WHERE {beyond} ORDER BY ended {order}, session_id LIMIT {asked.limit + 1}
"""
    return statement, bindings


def sessions_told(dialect: Dialect, asked: SessionsOf, rows: Rows, last_seq: int) -> SessionsPage:
    """Its rows, as they are told; `last_seq` is the highest seq that the first page saw."""
    micros, page, told_now = dialect.micros, dialect.page_of, rows[: asked.limit]
    told = [
        Session(
            str(asked.query.user_id), session_id, rfc3339(micros(began)), rfc3339(micros(ended)), int(utc_offset),
            int(actions), int(clicks), int(views), int(navigations), page(first), page(last),
        )
        for session_id, began, ended, utc_offset, actions, clicks, views, navigations, first, last in told_now
    ]  # fmt: skip
    if len(rows) <= asked.limit:
        return SessionsPage(told, None)
    session_id, _, ended, *_ = rows[asked.limit - 1]
    return SessionsPage(told, cursor(asked, Place(micros(ended), session_id), last_seq))


def counts(dialect: Dialect, asked: CountsOf) -> Sum:
    """Actions by type and bucket, in rising order, and one bucket more than may be told."""
    began = bucket(dialect.minute.format("time"), WIDTHS[asked.bucket])
    sums = ", ".join(f"coalesce(sum(n) FILTER (WHERE type = '{name}'), 0)" for name in TYPES)
    return Sum(
        f"SELECT {began} AS began, type, 1 AS n FROM {{}}",
        f"SELECT began, {sums} FROM {{}} GROUP BY began ORDER BY began LIMIT {MAX_BUCKETS + 1}",
        {},
    )


def counts_told(asked: CountsOf, rows: Rows) -> Counts:
    """Its rows, as they are told.

    Raises:
        BadQuery: they are too many.
    """
    if len(rows) > MAX_BUCKETS:
        raise BadQuery(
            f"these are more than {MAX_BUCKETS} buckets of one {asked.bucket}; take a wider one or a shorter range"
        )
    return Counts(ISO[asked.bucket], [Count(rfc3339(int(began)), *map(int, numbers)) for began, *numbers in rows])


def clicks(dialect: Dialect, asked: ClicksOf) -> Sum:
    """Clicks on a page by the first column and row of the `GRID` that their cell has, row by row."""
    known = dialect.known
    wide, high = GRID // asked.columns, GRID // asked.rows
    page, bindings = page_of(asked)
    return Sum(
        f"SELECT {text(PAGE, known)} AS page, {cell(X, WIDTH, known)} AS x, {cell(Y, HEIGHT, known)} AS y, 1 AS n"
        f" FROM (SELECT {known.columns} FROM {{}})",
        f"SELECT x - x % {wide}, y - y % {high}, sum(n) FROM {{}} WHERE page = {page} GROUP BY 1, 2 ORDER BY 2, 1",
        bindings,
    )


def page_of(asked: ClicksOf) -> tuple[str, Bindings]:
    """The page that is asked for, in SQL, and its bindings."""
    pieces: Bindings = {f"page_{at}": asked.page[at : at + PIECE] for at in range(0, len(asked.page), PIECE)}
    return " || ".join(f"${name}" for name in pieces), pieces


def clicks_told(asked: ClicksOf, rows: Rows) -> Clicks:
    """Its rows, as they are told."""
    wide, high = GRID // asked.columns, GRID // asked.rows
    cells = [Cell(int(x) // wide, int(y) // high, int(n)) for x, y, n in rows if x is not None and y is not None]
    all_clicks, placed = sum(int(n) for _, _, n in rows), sum(cell.count for cell in cells)
    return Clicks(asked.page, asked.columns, asked.rows, all_clicks, all_clicks - placed, cells)


def flows(dialect: Dialect, asked: FlowsOf) -> Sum:
    """Navigations by both pages, the most frequent first, each with the number of all."""
    known, page = dialect.known, dialect.page
    return Sum(
        f"SELECT {text(FROM, known)} AS went_from, {text(TO, known)} AS went_to, 1 AS n"
        f" FROM (SELECT {known.columns} FROM {{}})",
        f"SELECT {page.format('went_from')}, {page.format('went_to')}, went, sum(went) OVER () AS everything"
        " FROM (SELECT went_from, went_to, sum(n) AS went FROM {} GROUP BY went_from, went_to)"
        " ORDER BY went_from IS NULL OR went_to IS NULL, went DESC, went_from, went_to"
        f" LIMIT {asked.limit}",
        {},
    )


def flows_told(dialect: Dialect, rows: Rows) -> Flows:
    """Its rows, as they are told."""
    pages = [(dialect.page_of(left), dialect.page_of(went), int(n)) for left, went, n, _ in rows]
    told = [Flow(left, went, n) for left, went, n in pages if left is not None and went is not None]
    return Flows(told, int(rows[0][3] if rows else 0) - sum(flow.count for flow in told))
