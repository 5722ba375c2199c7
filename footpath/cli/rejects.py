"""`footpath rejects list`, `show`, `replay` and `drop`. All but replaying work with a server running or not."""

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from footpath.cli import terminal
from footpath.cli.filters import Config, Data, Secret, User
from footpath.errors import CommandFailed

if TYPE_CHECKING:
    from footpath.journal.rejected import Chosen

app = typer.Typer(
    help="The actions that were refused: kept as they were sent, with the reason.\n\nExample: footpath rejects list",
    no_args_is_help=True,
)

Ids = Annotated[list[int] | None, Argument(metavar="[ID]...", help="of rejects, as list shows them")]
Code = Annotated[str | None, Option("--code", help="only those refused with this code, like bad_time")]


@app.command(name="list")
def list_(
    user: User = None,
    code: Code = None,
    limit: Annotated[int, Option(help="at most so many, the newest first", min=1, max=1_000_000)] = 100,
    data: Data = None,
    config: Config = None,
) -> None:
    """Show the newest rejects: a table, or NDJSON in a pipe, with the actions as they were sent.

    Example: footpath rejects list --code bad_time
    """
    from msgspec.json import encode

    from footpath import database
    from footpath.config import read_settings
    from footpath.journal import rejected
    from footpath.query import rfc3339
    from footpath.web.rejects import told

    folder = read_settings({"data": data}, file=config).data
    with closing(database.connect(folder, readonly=True)) as connection:
        found = rejected.read(connection, rejected.Chosen(code=code, user_id=user), limit=limit, newest=True)
    if not terminal.on_terminal():
        for reject in found:
            sys.stdout.buffer.write(encode(told(reject)) + b"\n")
    elif found:
        columns = [
            terminal.Column("id", number=True, wraps=False),
            *map(terminal.Column, ("at", "user", "code", "why")),
        ]
        terminal.table(columns, [(str(one.id), rfc3339(one.at), one.user_id, one.code, one.message) for one in found])
    else:
        terminal.say("there are no such rejects")


@app.command()
def show(
    reject: Annotated[int, Argument(metavar="ID", help="as list shows it")], data: Data = None, config: Config = None
) -> None:
    """Write one refused action as it was sent, byte for byte, and beside it why it was refused.

    Example: footpath rejects show 17 > action.json
    """
    from footpath import database
    from footpath.config import read_settings
    from footpath.journal import rejected
    from footpath.query import rfc3339

    folder = read_settings({"data": data}, file=config).data
    with closing(database.connect(folder, readonly=True)) as connection:
        found = rejected.read(connection, rejected.Chosen(ids=[reject]), limit=1)
    if not found:
        raise CommandFailed(f"there is no reject {reject}; footpath rejects list shows the newest")
    (one,) = found
    terminal.say(f"{rfc3339(one.at)} user {one.user_id} session {one.session_id}: {one.code}: {one.message}")
    if one.is_cut:
        terminal.say(f"only the first {len(one.raw)} of its {one.length} bytes were kept")
    if terminal.on_terminal():
        sys.stdout.write(terminal.safe(one.raw.decode("utf-8", "backslashreplace")) + "\n")
    else:
        sys.stdout.buffer.write(one.raw)


@app.command()
def replay(
    ids: Ids = None,
    user: User = None,
    code: Code = None,
    every: Annotated[bool, Option("--all", help="all that there are")] = False,  # noqa: FBT002 - typer's way
    url: Annotated[
        str | None, Option(help="send through the server at this address, instead of into the folder itself")
    ] = None,
    key: Secret = None,
    data: Data = None,
    config: Config = None,
) -> None:
    """Send refused actions through the checks again: those that pass now are stored and removed here.

    Those that fail stay, with the reason of now. Nothing is stored twice, also when it is interrupted and run again.

    Example: footpath rejects replay --code unknown_type --url http://127.0.0.1:8000
    """
    from footpath import database, log
    from footpath.cli.importing import target_of
    from footpath.config import read_settings
    from footpath.importing import replay as replaying

    chosen = _chosen(ids, user, code, every=every)
    settings = read_settings({"data": data}, file=config)
    log.configure(settings.log)
    account = replaying.Replayed()
    with (
        closing(database.connect(settings.data)) as connection,
        target_of(settings, url, key, "footpath rejects replay", "replay through it with --url") as target,
    ):
        for _ in replaying.run(connection, chosen, target, account):
            """Each is done when it is next to be."""
    for number, what in (
        (account.cut, "were kept cut and cannot be sent"),
        (account.moved, "passed here and were refused by the server, which keeps them now"),
    ):
        if number:
            terminal.say(f"{number} {what}")
    failed = account.failed + account.cut
    sys.stdout.write(f"{account.accepted} accepted, {account.duplicates} duplicates, {failed} rejected as before\n")


@app.command()
def drop(
    ids: Ids = None,
    user: User = None,
    code: Code = None,
    every: Annotated[bool, Option("--all", help="all that there are")] = False,  # noqa: FBT002 - typer's way
    data: Data = None,
    config: Config = None,
) -> None:
    """Remove rejects for good.

    Example: footpath rejects drop --code bad_time
    """
    from footpath import database
    from footpath.config import read_settings
    from footpath.journal import rejected

    chosen = _chosen(ids, user, code, every=every)
    folder = read_settings({"data": data}, file=config).data
    with closing(database.connect(folder)) as connection:
        dropped = rejected.drop(connection, chosen)
    sys.stdout.write(f"{dropped} dropped\n")


def _chosen(ids: list[int] | None, user: str | None, code: str | None, *, every: bool) -> "Chosen":
    from footpath.journal.rejected import Chosen

    if every == bool(ids or user is not None or code is not None):
        raise CommandFailed("say which: ids, --code, --user, or --all for all of them")
    return Chosen(tuple(ids or ()), code, user)
