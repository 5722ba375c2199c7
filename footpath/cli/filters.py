"""The filters that `find` and `export` share, as options, and the Query that they make.

Unlike the HTTP face, one end of a time range alone is fine, and so is no filter at all: whoever holds the folder may
read everything.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from footpath.action import MAX_ID_LENGTH, TYPE_BITS
from footpath.config import read_settings
from footpath.errors import BadQuery
from footpath.memory import beside_a_server
from footpath.query import Order, Query, instant

if TYPE_CHECKING:
    from footpath.find.base import Find
    from footpath.find.duckdb import DuckdbFind

Data = Annotated[Path | None, Option("--data", help="the data folder")]
Config = Annotated[Path | None, Option("--config", help="a TOML file with any of the settings of docs/SETTINGS.md")]
Table = Annotated[
    str | None,
    Option("--find", help="read a table instead of the data folder: athena://… or trino://…", metavar="ADDRESS"),
]
Secret = Annotated[
    str | None,
    Option(
        "--key",
        envvar="FOOTPATH_KEY",
        help="a key that may write, if the server asks for one; better in the environment, where no list of processes"
        " shows it",
        metavar="KEY",
    ),
]
User = Annotated[str | None, Option("--user", help="only this userId")]
Session = Annotated[str | None, Option("--session", help="only this sessionId")]
Types = Annotated[list[str] | None, Option("--type", help="only this type: click, view or navigate; may repeat")]
From = Annotated[
    str | None, Option("--from", help="not before this time: RFC 3339, without offset (UTC), or a date", metavar="TIME")
]
To = Annotated[str | None, Option("--to", help="not after this time; a date stands for its end", metavar="TIME")]


def query(
    user: str | None,
    session: str | None,
    types: Sequence[str] | None,
    time_from: str | None,
    time_to: str | None,
    *,
    order: Order = "asc",
    limit: int | None = None,
) -> Query:
    """The Query of a command's options.

    Raises:
        BadQuery: with the option and the next step in its message.
    """
    for name, value in (("--user", user), ("--session", session)):
        if value is not None and not 1 <= len(value) <= MAX_ID_LENGTH:
            raise BadQuery(f"{name} is {len(value)} characters; every id that is kept has 1 to {MAX_ID_LENGTH}")
    for value in types or ():
        if value.upper() not in TYPE_BITS:
            raise BadQuery(f"--type {value[:60]!r} is not known; it is one of {', '.join(TYPE_BITS).lower()}")
    first = None if time_from is None else instant("--from", time_from)
    last = None if time_to is None else instant("--to", time_to, end_of_day=True)
    if first is not None and last is not None and first > last:
        raise BadQuery(f"--from {time_from} is after --to {time_to}; swap them")
    return Query(
        user_id=user,
        session_id=session,
        types=tuple(sorted({value.upper() for value in types or ()})),
        time_from=first,
        time_to=last,
        order=order,
        limit=limit,
    )


@contextmanager
def looked_at(data: Path | None, table: str | None, config: Path | None) -> "Iterator[Find]":
    """A find over a table if one is named, else over the data folder."""
    if table is None:
        with opened(data, config) as found:
            yield found
        return
    from footpath import log
    from footpath.aws.extra import needed

    with needed():
        from footpath.aws.find import TableFind
        from footpath.aws.open import engine

    settings = read_settings({"find": table}, file=config, is_server=False)
    log.configure(settings.log)
    yield TableFind(engine(settings))


@contextmanager
def opened(data: Path | None, config: Path | None) -> "Iterator[DuckdbFind]":
    """A find over the data folder, whether a server holds it or not: reads change nothing."""
    from footpath import database, log
    from footpath.find.duckdb import DuckdbFind

    settings = read_settings({"data": data}, file=config, memory=beside_a_server())
    log.configure(settings.log)
    database.connect(settings.data, readonly=True).close()  # first, so that nothing is put into a folder of others
    found = DuckdbFind(settings.data, memory=settings.read_memory, read_seconds=settings.read_seconds)
    try:
        yield found
    finally:
        found.close()
