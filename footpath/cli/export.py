"""`footpath export`."""

import sys
from pathlib import Path
from typing import Annotated

from typer import Option

from footpath.cli.filters import Config, Data, From, Session, Table, To, Types, User
from footpath.errors import CommandFailed


def export(
    data: Data = None,
    form: Annotated[str, Option("--format", help="ndjson, csv, json, parquet or arrow")] = "ndjson",
    out: Annotated[Path | None, Option(help="the file to write; standard output if it is left out")] = None,
    sessions: Annotated[
        Path | None,
        Option(help="a new folder, for one NDJSON file a session: <userId>/<sessionId>.ndjson, percent-encoded"),
    ] = None,
    user: User = None,
    session: Session = None,
    types: Types = None,
    time_from: From = None,
    time_to: To = None,
    table: Table = None,
    config: Config = None,
) -> None:
    """Write actions to a file, with a server running or not; without a filter, all of them.

    Example: footpath export --from 2026-11-01 --type navigate --format csv --out november.csv
    """
    from footpath.cli import filters, terminal
    from footpath.find import files

    if form not in files.FORMATS:
        raise CommandFailed(f"--format {form[:60]!r} is not known; it is one of {', '.join(files.FORMATS)}")
    if sessions is not None and (out is not None or form != "ndjson"):
        raise CommandFailed("--sessions writes NDJSON into its own folder; leave out --out and --format")
    if out is None and sessions is None and form in {"parquet", "arrow"} and terminal.on_terminal():
        raise CommandFailed(f"{form} is not for a terminal; name a file with --out")
    query = filters.query(user, session, types, time_from, time_to)
    with filters.looked_at(data, table, config) as find:
        if sessions is not None:
            files_written, actions = files.write_sessions(find, query, sessions)
            done = f"{actions} actions of {files_written} sessions in {sessions}"
        elif out is not None:
            done = f"{files.write_file(find, query, form, out)} actions in {out}"
        else:
            done = f"{files.write(find, query, form, sys.stdout.buffer)} actions"
            sys.stdout.buffer.flush()
    terminal.say(f"exported {done}")
