"""Rewriting a part without some of its rows, for those that expire or are forgotten.

The new part is durable and in no catalog; that is the business of who asked for it. It stays in the run of the old
one, whose range of users it does not leave.
"""

from typing import Any, NamedTuple

import duckdb

from footpath.store import parquet
from footpath.store.base import Part
from footpath.store.local import LocalStore


class Rows(NamedTuple):
    """Which rows are meant: a condition in SQL on the columns of a part, true or false, and what is bound in it."""

    condition: str
    values: dict[str, Any]


def count(engine: duckdb.DuckDBPyConnection, store: LocalStore, part: Part, rows: Rows) -> int:
    """How many of these rows a part holds. Row groups whose ranges say that they hold none are not read.

    Raises:
        PartDamaged: the part is not what was written.
    """
    store.whole.check([part])
    found = engine.execute(
        f"SELECT count(*) FROM {parquet.scan()} WHERE {rows.condition}",
        {"file": parquet.pattern(store.path(part)), **rows.values},
    ).fetchone()
    return 0 if found is None else int(found[0])


def without(engine: duckdb.DuckDBPyConnection, store: LocalStore, part: Part, gone: Rows) -> tuple[Part | None, int]:
    """Write a part anew without some rows: the new part (None if nothing is left), and how many rows are gone.

    Raises:
        PartDamaged: the part is not what was written; nothing was written.
        RuntimeError: what was left out and what is left do not add up; nothing was written.
    """
    number = count(engine, store, part, gone)
    new = parquet.write_part(
        engine,
        store.parts_folder,
        part.run,
        f"{parquet.stored()} WHERE NOT ({gone.condition})",
        {"files": [parquet.pattern(store.path(part))], **gone.values},
    )
    left = 0 if new is None else new.rows
    if left + number != part.rows:
        if new is not None:
            store.path(new).unlink()
        raise RuntimeError(f"{number} of the {part.rows} rows of part {part.id} were to go, but {left} were left")
    return new, number
