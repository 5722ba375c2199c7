"""`footpath expire`."""

import sys
import time
from typing import Annotated

from typer import Option

from footpath.cli.filters import Config
from footpath.config import SETTINGS


def expire(
    find: Annotated[str, Option(help="what reads the table: athena://… or trino://…", metavar="ADDRESS")],
    keep: Annotated[str, Option(help=SETTINGS["keep"])],
    log: Annotated[str | None, Option(help=SETTINGS["log"])] = None,
    config: Config = None,
) -> None:
    """Delete what is older than it is kept from an Iceberg table, in whole days of UTC. Run it once a day.

    A data folder needs no such command: `footpath serve --keep 90d` does it there.

    Example: footpath expire --find athena://footpath --keep 90d
    """
    from msgspec.json import encode

    from footpath import log as logs
    from footpath.aws.extra import needed
    from footpath.config import keep_micros, read_settings
    from footpath.errors import BadSetting, CommandFailed, ReadFailed
    from footpath.query import rfc3339

    with needed():
        from footpath.aws.forgetting import expire as delete_old
        from footpath.aws.open import engine

    settings = read_settings({"find": find, "keep": keep, "log": log}, file=config, is_server=False)
    logs.configure(settings.log)
    kept = keep_micros(settings.keep)
    if kept is None:
        raise BadSetting("--keep is empty, which keeps everything: say how long, like 90d")
    try:
        number, before = delete_old(engine(settings), kept, time.time_ns() // 1000)
    except ReadFailed as error:
        raise CommandFailed(f"not everything was deleted: {error}; run the same again") from error
    sys.stdout.buffer.write(encode({"actions": number, "before": rfc3339(before)}) + b"\n")
