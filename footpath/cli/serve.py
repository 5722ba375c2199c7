"""`footpath serve`."""

from pathlib import Path
from typing import Annotated

from typer import Option

from footpath import memory
from footpath.config import SETTINGS, read_settings


def serve(
    data: Annotated[Path | None, Option(help=SETTINGS["data"])] = None,
    host: Annotated[str | None, Option(help=SETTINGS["host"])] = None,
    port: Annotated[int | None, Option(help=SETTINGS["port"])] = None,
    workers: Annotated[int | None, Option(help=SETTINGS["workers"])] = None,
    keep: Annotated[str | None, Option(help=SETTINGS["keep"])] = None,
    config: Annotated[Path | None, Option(help="a TOML file with any of the settings of docs/SETTINGS.md")] = None,
    journal: Annotated[str | None, Option(help=SETTINGS["journal"], metavar="ADDRESS")] = None,
    find: Annotated[str | None, Option(help=SETTINGS["find"], metavar="ADDRESS")] = None,
    table: Annotated[str | None, Option(help=SETTINGS["table"], metavar="ADDRESS")] = None,
    keys: Annotated[str | None, Option(help=SETTINGS["keys"], metavar="FILE")] = None,
    log: Annotated[str | None, Option(help=SETTINGS["log"])] = None,
) -> None:
    """Take actions in over HTTP, keep them, and answer questions about them.

    Example: footpath serve --data ./data --port 8000
    """
    from footpath import service

    flags = {"data": data, "host": host, "port": port, "workers": workers, "log": log, "keep": keep}
    flags |= {"journal": journal, "find": find, "table": table, "keys": keys}
    service.serve(read_settings(flags, file=config, memory=memory.given()))
