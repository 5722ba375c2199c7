"""`footpath key create`, `list`, `export` and `revoke`. They work on the folder, with a server running or not.

A running server looks for changes every quarter of a second while requests come. The commands wait for as long before
they say that they are done, so that what they say is true of every server.
"""

import re
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from footpath.cli import terminal
from footpath.cli.filters import Config, Data
from footpath.config import read_settings
from footpath.errors import CommandFailed

if TYPE_CHECKING:
    from footpath.keys.key import Key

_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_DURATION = re.compile(r"(\d{1,6})([mhdw])")

app = typer.Typer(
    help="Make, list and revoke the keys that requests must carry.\n\n"
    "Example: footpath key create --role write --name app",
    no_args_is_help=True,
)


@app.command()
def create(
    role: Annotated[str, Option(help="write, read, or admin, which may do everything", metavar="ROLE")],
    name: Annotated[str, Option(help="how lists, logs and messages call it")],
    data: Data = None,
    origin: Annotated[
        list[str] | None,
        Option(
            help="pages of this origin may use it, and for a write key nobody else; like https://shop.example;"
            " may repeat",
            metavar="URL",
        ),
    ] = None,
    rate: Annotated[
        float | None, Option(help="actions a second that it may send, for each of the server's --workers", min=0.001)
    ] = None,
    expires: Annotated[
        str | None, Option(help="when it ends: a date (its last moment), a time, or 90d, 12h, 4w", metavar="WHEN")
    ] = None,
    config: Config = None,
) -> None:
    """Make a key and print it, once: only its hash is kept.

    Example: footpath key create --role write --name shop-page --origin https://shop.example --rate 500
    """
    from footpath import database
    from footpath.keys import table
    from footpath.keys.key import ROLES, Key, read_name, read_origin

    chosen = next((one for one in ROLES if one == role), None)
    if chosen is None:
        raise CommandFailed(f"--role {role[:60]!r} is not known; it is one of {', '.join(ROLES)}")
    if rate is not None and chosen == "read":
        raise CommandFailed("--rate counts actions that are sent; a key that reads sends none")
    now = time.time_ns() // 1000
    key = Key(
        name=read_name(name),
        role=chosen,
        origins=tuple(dict.fromkeys(read_origin(one) for one in origin or ())),
        rate=rate,
        created_at=now,
        expires_at=None if expires is None else when(expires, now),
    )
    folder = read_settings({"data": data}, file=config).data
    if not (folder / database.FILE_NAME).exists():
        from footpath import service

        with service.hold(folder, "footpath key create"):
            """Which makes it: keys come first where others than this machine are to be let in."""
    with closing(database.connect(folder)) as connection:
        secret = table.create(connection, key)
        _, keys = table.load(connection)
    _wait()
    sys.stdout.write(f"{secret}\n")
    sys.stdout.flush()
    terminal.say(f"This is the only time that it is shown. It is good now, for {folder}.")
    for line in _next_steps(key, len(keys)):
        terminal.say(line)


@app.command(name="list")
def list_(data: Data = None, config: Config = None) -> None:
    """Show the keys that there are and were, never the keys themselves: a table, or NDJSON in a pipe.

    Example: footpath key list --data ./data
    """
    from msgspec.json import encode

    from footpath import database
    from footpath.keys import table
    from footpath.query import rfc3339

    folder = read_settings({"data": data}, file=config).data
    with closing(database.connect(folder, readonly=True)) as connection:
        keys = [key for key, _ in table.load(connection)[1]]
    now = time.time_ns() // 1000
    rows = [
        {
            "name": key.name,
            "role": key.role,
            "state": key.state(now),
            "created": rfc3339(key.created_at),
            "expires": None if key.expires_at is None else rfc3339(key.expires_at),
            "revoked": None if key.revoked_at is None else rfc3339(key.revoked_at),
            "rate": key.rate,
            "origins": list(key.origins),
        }
        for key in keys
    ]
    if not terminal.on_terminal():
        for row in rows:
            sys.stdout.buffer.write(encode(row) + b"\n")
    elif rows:
        columns = [terminal.Column(name, wraps=name == "origins") for name in rows[0]]
        terminal.table(columns, [[_cell(value) for value in row.values()] for row in rows])
    else:
        terminal.say("there are no keys: footpath key create makes one; until then only this machine is let in")


@app.command()
def export(data: Data = None, config: Config = None) -> None:
    """Write the keys' hashes as NDJSON, for `footpath serve --keys FILE` of servers without a data folder.

    Example: footpath key export --data ./data > keys.ndjson
    """
    from footpath import database
    from footpath.keys import source, table

    with closing(database.connect(read_settings({"data": data}, file=config).data, readonly=True)) as connection:
        sys.stdout.buffer.write(source.exported(table.load(connection)[1]))


@app.command()
def revoke(
    name: Annotated[str, Argument(help="the name that it was created with")], data: Data = None, config: Config = None
) -> None:
    """Make a key good for nothing, for ever. When this is done, no server takes it any more.

    Example: footpath key revoke shop-page
    """
    from footpath import database
    from footpath.keys import table
    from footpath.query import rfc3339

    folder = read_settings({"data": data}, file=config).data
    now = time.time_ns() // 1000
    with closing(database.connect(folder)) as connection:
        at = table.revoke(connection, name, now)
        is_any = any(key.state(now) == "live" for key, _ in table.load(connection)[1])
    _wait()
    sys.stdout.write(f"{name} {'is' if at == now else f'was, since {rfc3339(at)},'} revoked\n")
    if not is_any:
        terminal.say("No key is left that is good: a server on this folder refuses everyone until there is another.")


def when(text: str, now: int) -> int:
    """The end of a key, in microseconds since 1970, for a date, a time or a duration.

    Raises:
        CommandFailed: it is none of them, or has passed.
    """
    from footpath.errors import BadQuery
    from footpath.query import instant

    if found := _DURATION.fullmatch(text):
        at = now + int(found[1]) * _UNITS[found[2]] * 1_000_000
    else:
        try:
            at = instant("--expires", text, end_of_day=True)
        except BadQuery as error:
            raise CommandFailed(f"{error}, or a duration like 90d, 12h or 4w") from error
    if at <= now:
        raise CommandFailed(f"--expires {text} has passed; a key ends later than it begins")
    return at


def _next_steps(key: "Key", keys: int) -> list[str]:
    """What to do with a key that was made, as one of so many."""
    if key.role == "read":
        use = "curl -H 'Authorization: Bearer KEY' 'http://127.0.0.1:8000/api/retrievelogs?userId=ABC123XYZ'"
    elif key.origins:
        use = "navigator.sendBeacon('https://YOUR-FOOTPATH/api/submitlogs?key=KEY', JSON.stringify(batches))"
    else:
        use = "curl -H 'Authorization: Bearer KEY' http://127.0.0.1:8000/api/submitlogs -d @batches.json"
    steps = [f"Send it with each request: {use}"]
    if key.role != "read" and not key.origins:
        steps.append("footpath's own commands take it from the environment: export FOOTPATH_KEY=KEY")
    if keys == 1:
        other = "read" if key.role == "write" else "write"
        missing = "" if key.role == "admin" else f"; make one that can {other}, too, with --role {other}"
        steps.append(f"It is the first: from now on every request needs a key{missing}.")
    return steps


def _cell(value: object) -> str:
    if isinstance(value, list):
        return " ".join(value)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _wait() -> None:
    from footpath.keys.ring import LOOK_SECONDS

    time.sleep(LOOK_SECONDS + 0.05)
