"""`footpath find`."""

import sys
from collections.abc import Sequence
from itertools import chain
from shutil import get_terminal_size
from typing import Annotated, Any, TypeVar

from typer import Option

from footpath.cli import terminal
from footpath.cli.filters import Config, Data, From, Session, Table, To, Types, User
from footpath.errors import BadQuery
from footpath.query import Order

_Value = TypeVar("_Value")

WIDE = 120  # columns of a terminal from which ids are shown at length
SCREEN = 50  # actions shown on a terminal when there is no --limit: more than that is for a pipe


def find(
    data: Data = None,
    user: User = None,
    session: Session = None,
    types: Types = None,
    time_from: From = None,
    time_to: To = None,
    table: Table = None,
    limit: Annotated[
        int | None, Option(help=f"at most so many; on a terminal {SCREEN} if it is left out", min=1)
    ] = None,
    order: Annotated[str, Option(help="asc (oldest first) or desc (newest first)")] = "asc",
    config: Config = None,
) -> None:
    """Show what users did: a table on a terminal, NDJSON in a pipe.

    Example: footpath find --user ABC123XYZ --order desc --limit 20
    """
    from msgspec import structs

    from footpath.cli import filters
    from footpath.find import answer
    from footpath.find.base import Shape

    direction: Order
    if order == "asc":
        direction = "asc"
    elif order == "desc":
        direction = "desc"
    else:
        raise BadQuery(f"--order {order[:60]!r} is not asc (oldest first) or desc (newest first)")
    query = filters.query(user, session, types, time_from, time_to, order=direction, limit=limit)
    with filters.looked_at(data, table, config) as opened:
        if not terminal.on_terminal():
            for piece in answer.stream(opened, query, "ndjson"):
                sys.stdout.buffer.write(piece)
            return
        shown = limit or SCREEN
        looked = opened.rows(structs.replace(query, limit=shown + 1), Shape.CELLS)
        rows = list(chain.from_iterable(looked.rows))
    if not rows:
        terminal.say("nothing found")
        return
    headings = ("time", "type", "user", "session", "what")
    columns = [terminal.Column(name, wraps=name == "what") for name in headings]
    ids = 32 if get_terminal_size().columns >= WIDE else 10
    left_out = None if user is None else 2  # everybody's name is the one that was asked for
    terminal.table(_without(columns, left_out), [_without(_row(row, ids), left_out) for row in rows[:shown]])
    if len(rows) > shown:
        terminal.say(f"{shown} shown, there are more: --limit shows more of them, a pipe gets all")


def _row(row: tuple[Any, ...], ids: int) -> tuple[str, ...]:
    """The cells of a row, with ids of at most `ids` characters."""
    user_id, session_id, time, kind, properties = row[:5]
    return local_time(time), kind, _cut(user_id, ids), _cut(session_id, ids), what(kind, properties)


def _cut(text: str, length: int) -> str:
    text = terminal.safe(text)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _without(values: Sequence[_Value], place: int | None) -> list[_Value]:
    return [value for at, value in enumerate(values) if at != place]


def local_time(time: str) -> str:
    """RFC 3339 as people read it: the user's own clock, then the offset."""
    day, _, rest = time.partition("T")
    clock, offset = (rest[:-1], "Z") if rest.endswith("Z") else (rest[:-6], rest[-6:])
    return f"{day} {clock} {offset}"


def what(kind: str, properties: str) -> str:
    """What an action did in a line: in words, and the properties that these leave out as `name: value`."""
    from msgspec.json import decode

    from footpath.said import said, text

    words, left = said(kind, decode(properties, type=dict[str, Any]))
    return "; ".join([words, *(f"{name}: {text(value)}" for name, value in left.items())])
