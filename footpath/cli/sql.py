"""`footpath sql`."""

import math
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated, Any

from typer import Argument

from footpath.cli import terminal
from footpath.cli.filters import Config, Data

SCREEN = 1_000  # rows shown on a terminal: more than that is for a pipe
_NUMBERS = ("INT", "DECIMAL", "DOUBLE", "FLOAT", "REAL")


def sql(
    query: Annotated[str, Argument(help="one SELECT over the view actions", metavar="SELECT")],
    data: Data = None,
    config: Config = None,
) -> None:
    """Ask everything that is kept in SQL (DuckDB's), also what is not in a part yet: a table, or NDJSON in a pipe.

    The view `actions` has the columns user_id, session_id, time (UTC), utc_offset (minutes), type, properties (JSON
    text), id, seq and received_at. Nothing else can be read, and nothing can be written.

    Example: footpath sql "SELECT properties->>'pageTo' AS page, count(*) FROM actions GROUP BY page"
    """
    from footpath import log
    from footpath.config import read_settings
    from footpath.find import adhoc
    from footpath.memory import beside_a_server

    settings = read_settings({"data": data}, file=config, memory=beside_a_server())
    log.configure(settings.log)
    with adhoc.run(settings.data, query, memory=settings.read_memory) as table:
        if not terminal.on_terminal():
            for line in lines(table.columns, table.rows):
                sys.stdout.buffer.write(line)
            return
        rows = list(islice(table.rows, SCREEN + 1))
        if table.columns == ["explain_key", "explain_value"]:
            for text in str(rows[0][1]).splitlines():
                sys.stdout.write(f"{terminal.safe(text)}\n")
            return
        columns = [
            terminal.Column(name, number=kind.startswith(_NUMBERS) or kind.endswith("INT"))
            for name, kind in zip(table.columns, table.types, strict=True)
        ]
    terminal.table(columns, [[cell(value) for value in row] for row in rows[:SCREEN]])
    if len(rows) > SCREEN:
        terminal.say(f"{SCREEN} rows shown, there are more: add a LIMIT, or send them to a pipe")


def lines(columns: Sequence[str], rows: Iterator[Sequence[Any]]) -> Iterator[bytes]:
    """Rows as NDJSON: numbers with all their digits, times as RFC 3339 in UTC, lists and structs as what they are."""
    from msgspec.json import Encoder

    encode = Encoder(decimal_format="number").encode
    for row in rows:
        yield encode(dict(zip(columns, map(plain, row), strict=True))) + b"\n"


def plain(value: Any) -> Any:
    """A value of DuckDB as one that JSON has."""
    if isinstance(value, datetime):
        return (value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)).isoformat() + "Z"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, dict):
        return {key if isinstance(key, str) else cell(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value


def cell(value: Any) -> str:
    """A value as text for a cell of a table."""
    from msgspec.json import encode

    value = plain(value)
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        return encode(value).decode()
    return str(value).lower() if isinstance(value, bool) else str(value)
