"""What a find over a table needs of the engine that reads it: Trino, or Athena, whose SQL is Trino's."""

from collections.abc import Generator, Mapping
from typing import Any, NamedTuple, Protocol

from footpath.errors import ReadFailed
from footpath.find.sql import Statement

Row = tuple[Any, ...]


_MAKE = "make it with `footpath setup aws --table iceberg://CATALOG/NAMESPACE/TABLE --apply`, or name another in --find"
_NEXT_STEP = {
    "TABLE_NOT_FOUND": _MAKE,
    "SCHEMA_NOT_FOUND": _MAKE,
    "CATALOG_NOT_FOUND": "name one of `SHOW CATALOGS` in --find trino://HOST:PORT/CATALOG/SCHEMA",
    "PERMISSION_DENIED": "let the user or role that --find reads with read it",
    "EXCEEDED_TIME_LIMIT": "ask for less, or page with limit",
    "QUERY_QUEUE_FULL": "ask again in a moment",
}


CONFLICTS = frozenset(("TRANSACTION_CONFLICT", "ICEBERG_COMMIT_ERROR"))


class Conflict(ReadFailed):
    """A statement that changes the table met another change; it has done nothing, and can be sent again."""


def next_step(error: str) -> str:
    """What to do when a statement has met one of Trino's errors, which are also Athena's."""
    return _NEXT_STEP.get(error, "the engine's own log says more")


class Begun(NamedTuple):
    """A statement that has begun: what it sees does not change any more. Closing `rows` ends it, read or not."""

    rows: Generator[list[Row]]


class Engine(Protocol):
    """Runs statements over one table. Any thread may use it.

    The hard cases:

    - absent: a table, database or permission that is not there is ReadFailed, and its sentence names the next step;
    - large: rows come in chunks, in flat memory;
    - half failed: the rows raise ReadFailed; they never just end early;
    - twice: a statement that changes something is sent once, and not again when its answer is lost.
    """

    @property
    def table(self) -> str:
        """The table's name, as it is written in SQL."""
        ...

    def begin(self, statement: Statement) -> Begun:
        """Begin to read; times are text, in UTC."""
        ...

    def change(self, statement: Statement) -> None:
        """Run a statement that deletes, to its end.

        Raises:
            Conflict: another change came between; it has done nothing.
        """
        ...

    def properties(self) -> Mapping[str, str]:
        """The table's properties whose names begin with `footpath.`, as they are now."""
        ...
