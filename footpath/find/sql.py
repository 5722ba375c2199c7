"""Query -> SQL. The text holds no value of a query: those are bound.

A found row has the columns of a part. `action_json` and its like make the text of an answer inside the engine, where it
is done for a vector of rows at a time: in Python it would cost ten times as much.
"""

from typing import Any

from footpath.find.base import Shape
from footpath.query import Query

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


def condition(query: Query, user_from: str | None = None, user_before: str | None = None) -> tuple[str, dict[str, Any]]:
    """The WHERE of a query, within a range of user_id if one is given, and its bindings; on the columns of a part."""
    later, sooner = (">", "<") if query.order == "asc" else ("<", ">")
    at_after = f"time {later} make_timestamp($after_time) OR seq {later} $after_seq"
    at_until = f"time {sooner} make_timestamp($until_time) OR seq {sooner}= $until_seq"
    types = {f"type_{place}": name for place, name in enumerate(query.types)}
    after, until = query.after, query.until
    parts: list[tuple[str, dict[str, Any]]] = [
        ("user_id = $user_id", {"user_id": query.user_id}),
        ("user_id >= $user_from", {"user_from": user_from}),
        ("user_id < $user_before", {"user_before": user_before}),
        ("session_id = $session_id", {"session_id": query.session_id}),
        (f"type IN ({', '.join('$' + name for name in types)})", types),
        ("time >= make_timestamp($time_from)", {"time_from": query.time_from}),
        ("time <= make_timestamp($time_to)", {"time_to": query.time_to}),
        (
            f"time {later}= make_timestamp($after_time) AND ({at_after})",
            {} if after is None else {"after_time": after.time, "after_seq": after.seq},
        ),
        (
            f"time {sooner}= make_timestamp($until_time) AND ({at_until})",
            {} if until is None else {"until_time": until.time, "until_seq": until.seq},
        ),
        ("seq <= $last_seq", {"last_seq": query.last_seq}),
    ]
    given = [(text, values) for text, values in parts if values and None not in values.values()]
    bindings = {name: value for _, values in given for name, value in values.items()}
    return " AND ".join([text for text, _ in given] or ["true"]), bindings
