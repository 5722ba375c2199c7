"""Which sums an overview takes from summaries, and which actions it looks at itself.

A summary stands for a whole segment, and only for whole buckets of its own: of a time range the buckets at its ends are
looked at action by action, and so is whatever has no summary, hot rows among it. Each action counts once: a part is
either covered by a summary or not, and the ends and the middle of a range do not meet.
"""

from typing import Any, NamedTuple

from msgspec import structs

from footpath.find import sql
from footpath.find.summing import Sum
from footpath.find.view import View
from footpath.query import Query
from footpath.store import parquet
from footpath.store.summaries import UNIT, Summaries, segments


class Span(NamedTuple):
    """A range of time in microseconds, from (inclusive) and to (exclusive); None is no bound."""

    low: int | None
    high: int | None


class Ends(NamedTuple):
    """A time range cut where buckets begin: the middle, if a whole bucket is in it, and queries for what is beside."""

    middle: Span
    beside: list[Query]


def cut(query: Query, unit: int) -> Ends | None:
    """Cut the time range of a query at buckets of so many microseconds; None if no whole one is in it. Pure."""
    first, last = query.time_from, query.time_to
    low = None if first is None else -(-first // unit) * unit
    high = None if last is None else (last + 1) // unit * unit
    if low is not None and high is not None and low >= high:
        return None
    beside = []
    if low is not None and first != low:
        beside.append(structs.replace(query, time_to=low - 1))
    if high is not None and last != high - 1:
        beside.append(structs.replace(query, time_from=high))
    return Ends(Span(low, high), beside)


class Ahead(NamedTuple):
    """Rows of a summary that a sum can take instead of actions: their kind, and what is taken of each."""

    kind: int
    taken: str


def rows(view: View, summaries: Summaries | None, wanted: Sum, ahead: Ahead) -> list[tuple[Any, ...]]:
    """The rows of a sum.

    Args:
        view: with its live parts, if there are summaries.
        summaries: where to look for some; None if they cannot answer.
        wanted: the sum.
        ahead: what it can take of summaries.
    """
    ends = cut(view.query, UNIT[ahead.kind])
    made = {} if summaries is None or ends is None else summaries.found()
    used = [segment for segment in segments(view.live) if segment.name in made] if made else []
    covered = {part.id for segment in used for part in segment.parts}
    source, bound = view.source([part for part in view.parts if part.id not in covered])
    selects = []
    if source:
        where, values = sql.condition(view.query)
        bound |= values
        selects.append(wanted.taken.replace("{}", f"({source}) WHERE {where}"))
    if used and ends is not None:
        for place, query in enumerate(ends.beside):
            parts = [
                part for part in view.parts if part.id in covered and _touches(part.time_min, part.time_max, query)
            ]
            if parts:
                where, values = sql.condition(query)
                names = {name: f"{name}_{place}" for name in values}
                bound |= {names[name]: value for name, value in values.items()} | {f"files_{place}": view.files(parts)}
                for name, other in names.items():
                    where = where.replace(f"${name}", f"${other}")
                select = f"({parquet.stored(f'$files_{place}')}) WHERE {where}"
                selects.append(wanted.taken.replace("{}", select))
        low, high = ends.middle
        where = f"kind = {ahead.kind}"
        where += "" if low is None else f" AND began >= {low}"
        where += "" if high is None else f" AND began < {high}"
        bound["summaries"] = [parquet.pattern(made[segment.name]) for segment in used]
        selects.append(ahead.taken.replace("{}", f"read_parquet($summaries) WHERE {where}"))
    if not selects:
        return []
    with view.reading():
        everything = f"({' UNION ALL '.join(selects)})"
        view.cursor.execute(wanted.added.replace("{}", everything), bound | wanted.bindings)
        return view.cursor.fetchall()


def _touches(time_min: int, time_max: int, query: Query) -> bool:
    return (query.time_from is None or time_max >= query.time_from) and (
        query.time_to is None or time_min <= query.time_to
    )
