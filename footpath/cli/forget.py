"""`footpath forget`."""

import sys
import time
from contextlib import closing
from typing import Annotated

from typer import Argument, Option

from footpath.cli.filters import Config, Data
from footpath.errors import BadQuery


def forget(
    user: Annotated[str, Argument(help="the userId, exactly", metavar="USER")],
    data: Data = None,
    erase_only_before: Annotated[
        str | None,
        Option(help="only actions with a time before this one; what comes later is not refused then", metavar="TIME"),
    ] = None,
    *,
    allow_return: Annotated[
        bool, Option("--allow-return", help="take in what comes for this user from now on, also late retries")
    ] = False,
    config: Config = None,
) -> None:
    """Remove everything of one user, also from the bytes of the files, with a server running or not.

    Prints a receipt as JSON when it is done. What comes for them later is refused for 30 days (forgotten_days). Backups
    are not touched. `footpath export --user` first gives what is kept.

    Example: footpath forget ABC123XYZ --data ./data
    """
    from msgspec.json import encode

    from footpath import log
    from footpath.action import MAX_ID_LENGTH
    from footpath.config import read_settings
    from footpath.keeper.alone import forget_alone
    from footpath.query import instant
    from footpath.store.forgetting import LocalForget, told

    if not 1 <= len(user) <= MAX_ID_LENGTH:
        raise BadQuery(f"USER is {len(user)} characters; every id that is kept has 1 to {MAX_ID_LENGTH}")
    if erase_only_before is not None and allow_return:
        raise BadQuery("--erase-only-before leaves the user what came later; leave --allow-return out")
    settings = read_settings({"data": data}, file=config)
    log.configure(settings.log)
    before = None if erase_only_before is None else instant("--erase-only-before", erase_only_before)
    with closing(LocalForget(settings.data)) as orders:
        asked = orders.ask(user, before=before, refuse_days=None if allow_return else settings.forgotten_days)
        while (receipt := orders.receipt(asked.number)) is None:
            if not forget_alone(settings):
                time.sleep(0.05)
    sys.stdout.buffer.write(encode(told(user, asked, receipt)) + b"\n")
