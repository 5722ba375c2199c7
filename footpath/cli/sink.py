"""`footpath sink`."""

import sys
from pathlib import Path
from typing import Annotated

from typer import Option

from footpath.cli import terminal


def sink(
    journal: Annotated[str, Option(help="the stream to read: kinesis://STREAM?region=…", metavar="ADDRESS")],
    table: Annotated[
        str, Option(help="the table to write: iceberg://CATALOG/NAMESPACE/TABLE, glue for CATALOG", metavar="ADDRESS")
    ],
    interval: Annotated[
        float, Option(help="seconds between commits: reads lag so much; shorter makes more and smaller files", min=1)
    ] = 60.0,
    chunk_mb: Annotated[int, Option(help="commit sooner when this many MB of actions have come", min=1)] = 64,
    memory: Annotated[str, Option(help="memory DuckDB may use before it spills to disk")] = "512MB",
    scratch: Annotated[Path | None, Option(help="where it spills, and writes files before they are uploaded")] = None,
    metrics: Annotated[str | None, Option(help="answer Prometheus here", metavar="HOST:PORT")] = None,
    log: Annotated[str, Option(help="how to log: json, text, or auto (text on a terminal)")] = "auto",
    *,
    once: Annotated[bool, Option("--once", help="bring in what is in the stream now, and end")] = False,
) -> None:
    """Bring what is in a Kinesis stream into an Iceberg table, each action once. Start as many as you like.

    SIGTERM makes it commit what it holds and end; killed otherwise it loses and doubles nothing.

    Example: footpath sink --journal kinesis://actions --table iceberg://glue/footpath/actions
    """
    from footpath.aws.extra import needed

    with needed():
        from footpath.aws import sinking
        from footpath.aws.sink import Limits
    from footpath import log as logs
    from footpath.aws.address import stream_address, table_address

    logs.configure(log)
    limits = Limits(interval, chunk_mb << 20)
    plan = sinking.Plan(stream_address(journal), table_address(table), limits, memory, scratch)
    if once:
        done = sinking.once(plan)
        terminal.say(f"{done.actions} actions in {done.files} files; {done.duplicates} records were there already")
        if done.unreadable:
            terminal.say(f"{done.unreadable} records hold no actions and were set aside; see the log")
            sys.exit(1)
    else:
        sinking.run(plan, metrics)
