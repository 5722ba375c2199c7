"""Query -> SQL, in two dialects: DuckDB's, and Trino's, which is Athena's. Values are bound, never in the text.

DuckDB     over parts and hot rows. A found row has the columns of a part. `action_json` and its like make the text of
           an answer inside the engine, where it is done for a vector of rows at a time: in Python it would cost ten
           times as much.
Trino      over an Iceberg table, where one action may stand several times: whoever put it may have tried again. `over`
           gives each once. Text is made in Python (`text`): the rows come over a network anyway, and so there is one
           account of how an action is written.
"""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from footpath.action import micros
from footpath.find.base import Shape
from footpath.query import Position, Query
from footpath.store import known
from footpath.store.known import Known

Bindings = dict[str, Any]


class Dialect(NamedTuple):
    """Where the two differ, but for what makes text. `{}` stands for an expression.

    instant, bound_instant   how a bound time is written, and what is bound for it
    minute                   a time in microseconds since 1970, which may be cut off at its minute
    told, micros             how a time stands in an answer, and microseconds since 1970 of what then comes
    page, page_of            how a page, which may be '' or NULL, stands in an answer, and what it was
    known                    how known properties are looked for
    """

    instant: str
    bound_instant: Callable[[int], Any]
    minute: str
    told: str
    micros: Callable[[Any], int]
    page: str
    page_of: Callable[[Any], str | None]
    known: Known


def as_text(micros: int) -> str:
    """A time as Trino's CAST takes it: bound as text, since Athena binds only numbers and text."""
    return f"{_EPOCH + timedelta(microseconds=micros)} UTC"


_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - its zone is written behind it


def micros_of(text: str) -> int:
    """Microseconds since 1970 of a time as Trino's CAST to text writes it: `2018-10-20 21:37:28.000000 UTC`."""
    return micros(datetime.fromisoformat(f"{text[:-4]}+00:00"))


def _unmarked(page: str | None) -> str | None:
    return None if page is None else page[1:]


DUCKDB = Dialect("make_timestamp({})", int, "epoch_us({})", "epoch_us({})", int, "{}", lambda page: page, known.DUCKDB)
TRINO = Dialect(
    instant="CAST({} AS timestamp(6) with time zone)",
    bound_instant=as_text,
    minute="CAST(to_unixtime(date_trunc('minute', {})) AS bigint) * 1000000",
    told="CAST({} AS varchar)",
    micros=micros_of,
    page="'=' || {}",  # Athena's answers do not tell '' from NULL
    page_of=_unmarked,
    known=known.TRINO,
)

_LOCAL = "(time + to_minutes(utc_offset))"
_OFFSET = """
CASE WHEN utc_offset = 0 THEN 'Z'
     ELSE (CASE WHEN utc_offset < 0 THEN '-' ELSE '+' END) || lpad(CAST(abs(utc_offset) // 60 AS VARCHAR), 2, '0')
          || ':' || lpad(CAST(abs(utc_offset) % 60 AS VARCHAR), 2, '0') END"""
_TIME = f"replace(CAST({_LOCAL} AS VARCHAR), ' ', 'T') || {_OFFSET}"
_RECEIVED = "replace(CAST(received_at AS VARCHAR), ' ', 'T') || 'Z'"
_ID_JSON = "CASE WHEN id IS NULL THEN '' ELSE ',\"id\":' || CAST(to_json(id) AS VARCHAR) END"
_ACTION_JSON = (
    f"""'{{"time":"' || {_TIME} || '","type":"' || type || '","properties":' || properties || {_ID_JSON} || '}}'"""
)
_LINE = (
    """'{"userId":' || CAST(to_json(user_id) AS VARCHAR) || ',"sessionId":' || CAST(to_json(session_id) AS VARCHAR)"""
    f""" || ',"time":"' || {_TIME} || '","type":"' || type || '","properties":' || properties || {_ID_JSON}"""
    f""" || ',"seq":' || CAST(seq AS VARCHAR) || ',"receivedAt":"' || {_RECEIVED} || '"}}'"""
)

SELECT = {
    Shape.PATHS: f"user_id, session_id, {_ACTION_JSON} AS action",
    Shape.LINES: f"{_LINE} AS line",
    Shape.CELLS: f"user_id, session_id, {_TIME} AS time_text, type, properties, id, seq, {_RECEIVED} AS received_text",
}
"""What a row of each shape is made of."""


def by_session(query: Query) -> str:
    """The order of PATHS without a limit: users by id, a user's sessions in the order they began."""
    start = "min(time)" if query.order == "asc" else "max(time)"
    began = f"{start} OVER (PARTITION BY user_id, session_id) {query.order}"
    return f"user_id, {began}, session_id, {in_time(query)}"


def in_time(query: Query) -> str:
    """The order of every other answer."""
    return f"time {query.order}, seq {query.order}"


def condition(query: Query, user_from: str | None = None, user_before: str | None = None) -> tuple[str, Bindings]:
    """The WHERE of a query, within a range of user_id if one is given, and its bindings; on the columns of a part."""
    user_range: list[tuple[str, Bindings]] = [
        ("user_id >= $user_from", {"user_from": user_from}),
        ("user_id < $user_before", {"user_before": user_before}),
    ]
    return _all_of([*_filters(query, DUCKDB), *user_range, *_places(query, DUCKDB)])


def _filters(query: Query, dialect: Dialect) -> list[tuple[str, Bindings]]:
    """What is asked for: conditions on what every copy of an action has in common."""
    types = {f"type_{place}": name for place, name in enumerate(query.types)}
    return [
        ("user_id = $user_id", {"user_id": query.user_id}),
        ("session_id = $session_id", {"session_id": query.session_id}),
        (f"type IN ({', '.join('$' + name for name in types)})", types),
        _bound("time >= {}", "time_from", query.time_from, dialect),
        _bound("time <= {}", "time_to", query.time_to, dialect),
        *(_beyond(name, sign, place.time, dialect) for name, sign, place in _ends(query)),
        ("seq <= $last_seq", {"last_seq": query.last_seq}),
        ("seq > $since_seq", {"since_seq": query.since_seq}),
    ]


def _places(query: Query, dialect: Dialect) -> list[tuple[str, Bindings]]:
    """After which place in the order of a read, and up to which; also on seq, which copies do not share."""
    found = []
    for name, sign, place in _ends(query):
        strict = "" if name == "after" else "="
        instant = dialect.instant.format(f"${name}_time")
        bindings = {f"{name}_time": dialect.bound_instant(place.time), f"{name}_seq": place.seq}
        found.append((f"(time {sign} {instant} OR time = {instant} AND seq {sign}{strict} ${name}_seq)", bindings))
    return found


def _ends(query: Query) -> list[tuple[str, str, Position]]:
    later, sooner = (">", "<") if query.order == "asc" else ("<", ">")
    ends = (("after", later, query.after), ("until", sooner, query.until))
    return [(name, sign, place) for name, sign, place in ends if place is not None]


def _beyond(name: str, sign: str, time: int, dialect: Dialect) -> tuple[str, Bindings]:
    return _bound(f"time {sign}= {{}}", f"{name}_time", time, dialect)


def _bound(text: str, name: str, time: int | None, dialect: Dialect) -> tuple[str, Bindings]:
    bound = None if time is None else dialect.bound_instant(time)
    return text.format(dialect.instant.format(f"${name}")), {name: bound}


def _all_of(conditions: list[tuple[str, Bindings]]) -> tuple[str, Bindings]:
    """Those whose values are given, together."""
    given = [(text, values) for text, values in conditions if values and None not in values.values()]
    bindings = {name: value for _, values in given for name, value in values.items()}
    return " AND ".join([text for text, _ in given] or ["true"]), bindings


class Statement(NamedTuple):
    """A statement in Trino's SQL, and the values of its question marks: text and whole numbers only."""

    text: str
    values: tuple[str | int, ...]


COLUMNS_OF_TABLE = (
    "user_id, session_id, CAST(time AS varchar), utc_offset, type, properties, id, seq, CAST(received_at AS varchar)"
)
"""What `over` gives, in this order; times as `2018-10-20 21:37:28.000000 UTC`, since Athena has them as text anyway."""

_ONE_COPY = (
    "row_number() OVER (PARTITION BY user_id, id, IF(id IS NULL, batch_id), IF(id IS NULL, place)"
    " ORDER BY seq, batch_id)"
)
"""Which copy of an action a row is: those with an id are one per user and id, others one per batch and place in it."""


def over(table: str, query: Query, order: str) -> Statement:
    """The actions of an Iceberg table that match, each once, in an order of this module's.

    Copies are told apart after the filters: what two copies of one action share is filtered first, which is what keeps
    the read to the files it needs. What only one of them may have, its place in the order, is looked at last.

    Args:
        table: its name, as it is written in SQL.
        query: what is asked for.
        order: `in_time` or `by_session` of the same query.
    """
    source, bindings = once(table, query)
    limit = "" if query.limit is None else f" LIMIT {query.limit}"
    return in_order(f"SELECT {COLUMNS_OF_TABLE} FROM {source} ORDER BY {order}{limit}", bindings)


def once(table: str, query: Query) -> tuple[str, Bindings]:
    """What stands behind FROM for the actions of a table that match, each once, and its bindings; see `over`."""
    inner, bindings = _all_of(_filters(query, TRINO))
    outer, more = _all_of(_places(query, TRINO))
    source = f"(SELECT *, {_ONE_COPY} AS copy FROM {table} WHERE {inner}) WHERE copy = 1 AND {outer}"
    return source, bindings | more


def in_order(text: str, bindings: Bindings) -> Statement:
    """A statement with named parameters as one with question marks."""
    names = _NAME.findall(text)
    return Statement(_NAME.sub("?", text), tuple(bindings[name] for name in names))


def identifier(name: str) -> str:
    """A name of a table, schema or catalog, as it is written in SQL."""
    quoted = name.replace('"', '""')
    return f'"{quoted}"'


_NAME = re.compile(r"\$(\w+)")
