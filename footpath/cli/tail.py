"""`footpath tail`."""

import sys
import time
from typing import Annotated, Any

from typer import Option

from footpath.cli import terminal
from footpath.cli.filters import Config, Data, Session, Types, User
from footpath.cli.find import local_time, what

LOOK_SECONDS = 0.3  # between two looks at the folder


def tail(
    data: Data = None,
    user: User = None,
    session: Session = None,
    types: Types = None,
    after: Annotated[
        int | None, Option(help="begin after the action with this seq, not with what is new", min=0, metavar="SEQ")
    ] = None,
    config: Config = None,
) -> None:
    """Show what users do, as it comes in, until Ctrl-C: lines on a terminal, NDJSON in a pipe.

    Reads the folder, with a server running on it. Over HTTP it is: curl -N http://127.0.0.1:8000/api/tail

    Example: footpath tail --user ABC123XYZ
    """
    from footpath.cli import filters
    from footpath.find.newest import DuckdbNewest

    query = filters.query(user, session, types, None, None)
    show = _line if terminal.on_terminal() else str
    with filters.opened(data, config) as find:
        newest = DuckdbNewest(find)
        seen = newest.last_seq() if after is None else after
        try:
            while True:
                lines = newest.since(query, seen, max(seen, newest.last_seq()))
                if lines.lines:
                    sys.stdout.write("".join([f"{show(line.text)}\n" for line in lines.lines]))
                    sys.stdout.flush()
                if lines.until == seen or not lines.lines:
                    time.sleep(LOOK_SECONDS)
                seen = lines.until
        except KeyboardInterrupt:
            terminal.say(f"go on with --after {seen}")


def _line(text: str) -> str:
    """An action in a line, for people."""
    from msgspec.json import decode, encode

    action = decode(text, type=dict[str, Any])
    said = what(action["type"], encode(action["properties"]).decode())
    ids = f"{terminal.safe(action['userId'])}  {terminal.safe(action['sessionId'])}"
    return f"{local_time(action['time'])}  {action['type']:8}  {ids}  {terminal.safe(said)}"
