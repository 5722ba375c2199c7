"""Rows of a view in order, so that memory stays flat whatever the size of an action: by slices of `SLICE_BYTES`.

The engine sorts whole rows, and cannot put them on disk meanwhile: 300 MB of the largest actions are too much for its
256. Where it says so, the rows are put into a table, which it can spill, only their places are sorted, and they are
fetched from there a slice at a time. That reads the table once a slice, so it is no way for the usual rows.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import duckdb

from footpath.errors import ReadFailed
from footpath.find.base import Shape
from footpath.find.view import View
from footpath.store import parquet
from footpath.store.base import Part

SLICE_BYTES = 16 << 20  # of rows at once; as columns the engine would hold 131,072 of them, whatever their size
FIXED_BYTES = 100  # of a row beside its properties, about

Condition = tuple[str, dict[str, Any]]
Statement = tuple[str, dict[str, int]]


def rows(
    view: View, shape: Shape, select: str, order: str, condition: Condition, parts: list[Part]
) -> Iterator[list[tuple[Any, ...]]]:
    """The matching rows in order, in chunks. `select` makes rows of the shape."""
    try:
        found = view.execute(select, order, condition, parts)
    except ReadFailed as error:
        if not is_memory(error):
            raise
    else:
        if found:
            yield from view.fetch(shape)
        return
    for statement, bindings in _by_place(view, select, order, condition, parts):
        with view.reading():
            view.cursor.execute(statement, bindings)
        yield from view.fetch(shape)


def columns(view: View, order: str, condition: Condition, parts: list[Part]) -> Iterator[duckdb.DuckDBPyRelation]:
    """The matching rows in order, as columns; one piece without rows if none match.

    Each must be read before the next is asked for.
    """
    try:
        statements = _sorted(view, order, condition, parts)
    except ReadFailed as error:
        if not is_memory(error):
            raise
        statements = _by_place(view, parquet.COLUMNS, order, condition, parts)
    for statement, bindings in statements:
        with view.reading():
            piece = view.cursor.sql(statement, params=bindings)
        yield piece


def _sorted(view: View, order: str, condition: Condition, parts: list[Part]) -> list[Statement]:
    """Put whole rows in order, in a table; the statements that give them."""
    source, bindings = view.source(parts)
    where, values = condition
    with view.reading():
        view.cursor.execute(
            f"CREATE OR REPLACE TEMP TABLE sorted AS SELECT {parquet.COLUMNS} FROM ({source or _NOTHING})"
            f" WHERE {where} ORDER BY {order}",
            bindings | values,
        )
    select = f"SELECT {parquet.COLUMNS} FROM sorted WHERE rowid >= $low AND rowid < $past"
    return [(select, ends) for ends in _ends(view, "SELECT strlen(properties) AS size FROM sorted")]


def _by_place(view: View, select: str, order: str, condition: Condition, parts: list[Part]) -> list[Statement]:
    """Put rows into a table and their places in order; the statements that give them."""
    source, bindings = view.source(parts)
    where, values = condition
    with view.reading():
        view.cursor.execute(
            f"CREATE OR REPLACE TEMP TABLE wide AS SELECT {parquet.COLUMNS} FROM ({source or _NOTHING}) WHERE {where}",
            bindings | values,
        )
        view.cursor.execute(
            "CREATE OR REPLACE TEMP TABLE narrow AS"
            " SELECT rowid AS spot, strlen(properties) AS size, user_id, session_id, time, seq FROM wide"
        )
        view.cursor.execute(f"CREATE OR REPLACE TEMP TABLE places AS SELECT spot, size FROM narrow ORDER BY {order}")
    slice_of_places = "SELECT spot, rowid AS place FROM places WHERE rowid >= $low AND rowid < $past"
    statement = f"SELECT {select} FROM wide JOIN ({slice_of_places}) ON wide.rowid = spot ORDER BY place"
    return [(statement, ends) for ends in _ends(view, "SELECT size FROM places")]


def _ends(view: View, sizes: str) -> list[dict[str, int]]:
    """Where each slice begins and ends, from the sizes of the rows in their order; one of no rows if there are none."""
    with view.reading():
        found = view.cursor.execute(
            "SELECT max(place) FROM (SELECT place,"
            " sum(size + $fixed) OVER (ROWS UNBOUNDED PRECEDING) // $slice AS slice"
            f" FROM (SELECT size, row_number() OVER () AS place FROM ({sizes}))) GROUP BY slice ORDER BY 1",
            {"fixed": FIXED_BYTES, "slice": SLICE_BYTES},
        ).fetchall()
    ends = [0, *[past for (past,) in found]] if found else [0, 0]
    return [{"low": low, "past": past} for low, past in pairwise(ends)]


def is_memory(error: ReadFailed) -> bool:
    """Whether the engine's memory was not enough."""
    return isinstance(error.__cause__, duckdb.OutOfMemoryException)


_NOTHING = (
    "SELECT NULL::VARCHAR AS user_id, NULL::VARCHAR AS session_id, NULL::TIMESTAMP AS time,"
    " NULL::SMALLINT AS utc_offset, NULL::VARCHAR AS type, NULL::VARCHAR AS properties, NULL::VARCHAR AS id,"
    " NULL::BIGINT AS seq, NULL::TIMESTAMP AS received_at WHERE false"
)
