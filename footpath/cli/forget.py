"""`footpath forget`."""

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from footpath.cli.filters import Config, Data
from footpath.config import SETTINGS
from footpath.errors import BadQuery

if TYPE_CHECKING:
    from footpath.config import Settings
    from footpath.store.forgetting import Forget


def forget(
    user: Annotated[str, Argument(help="the userId, exactly", metavar="USER")],
    data: Data = None,
    erase_only_before: Annotated[
        str | None,
        Option(help="only actions with a time before this one; what comes later is not refused then", metavar="TIME"),
    ] = None,
    find: Annotated[
        str | None, Option(help="forget in the table that this reads: athena://… or trino://…", metavar="ADDRESS")
    ] = None,
    table: Annotated[str | None, Option(help=SETTINGS["table"], metavar="ADDRESS")] = None,
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
    from footpath.memory import beside_a_server
    from footpath.query import instant
    from footpath.store.forgetting import told

    if not 1 <= len(user) <= MAX_ID_LENGTH:
        raise BadQuery(f"USER is {len(user)} characters; every id that is kept has 1 to {MAX_ID_LENGTH}")
    if erase_only_before is not None and allow_return:
        raise BadQuery("--erase-only-before leaves the user what came later; leave --allow-return out")
    settings = read_settings(
        {"data": data, "find": find, "table": table}, file=config, memory=beside_a_server(), is_server=False
    )
    log.configure(settings.log)
    before = None if erase_only_before is None else instant("--erase-only-before", erase_only_before)
    with _orders(settings) as orders:
        asked = orders.ask(user, before=before, refuse_days=None if allow_return else settings.forgotten_days)
        while (receipt := orders.receipt(asked.number)) is None:
            if settings.find or not forget_alone(settings):
                time.sleep(0.05)
    sys.stdout.buffer.write(encode(told(user, asked, receipt)) + b"\n")


@contextmanager
def _orders(settings: "Settings") -> Iterator["Forget"]:
    """What takes the order: the data folder, or the table."""
    if settings.find:
        from footpath.aws.extra import needed

        with needed():
            from footpath.aws.forgetting import TableForget
            from footpath.aws.open import catalog_and_address, engine

        with closing(TableForget(engine(settings), *catalog_and_address(settings))) as orders:
            yield orders
    else:
        from footpath.store.forgetting import LocalForget

        with closing(LocalForget(settings.data)) as local:
            yield local
