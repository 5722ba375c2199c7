"""`footpath push`."""

import tempfile
from contextlib import closing
from pathlib import Path
from typing import Annotated

from typer import Option

from footpath.cli import terminal
from footpath.cli.filters import Config, Data


def push(
    table: Annotated[
        str, Option(help="the table to write: iceberg://CATALOG/NAMESPACE/TABLE, glue for CATALOG", metavar="ADDRESS")
    ],
    data: Data = None,
    config: Config = None,
) -> None:
    """Put what is in a data folder into an Iceberg table, each action once: the way from one machine to many.

    No server may hold the folder meanwhile. Run again, it goes on where it was interrupted, and brings what is new. The
    folder is left as it is. Users who were forgotten stay so in the table.

    Example: footpath push --data ./data --table iceberg://glue/footpath/actions
    """
    from footpath.aws.extra import needed

    with needed():
        from footpath.aws.push import folder_of
        from footpath.aws.push import push as push_folder
        from footpath.aws.table import catalog_of, first_look, open_table
    from footpath import database, service
    from footpath.aws.address import table_address
    from footpath.aws.columns import Columns
    from footpath.config import read_settings
    from footpath.importing.folder import opened
    from footpath.memory import beside_a_server
    from footpath.store import parquet
    from footpath.store.local import LocalStore

    settings = read_settings({"data": data}, file=config, memory=beside_a_server())
    address = table_address(table)
    catalog = catalog_of(address)
    first_look(catalog, address)
    database.connect(settings.data, readonly=True).close()  # a folder that is none must not become one
    with (
        service.hold(settings.data, "footpath push", "restore a backup of it and push that"),
        opened(settings) as target,
    ):
        target.settle()
        with (
            closing(database.connect(settings.data, readonly=True)) as connection,
            closing(LocalStore(settings.data)) as store,
            tempfile.TemporaryDirectory(prefix="push-", dir=settings.data / "tmp") as scratch,
            parquet.engine(settings.data, memory=settings.keeper_memory) as engine,
            terminal.progress("{task.completed:,} of {task.total:,} actions") as bar,
        ):
            task = bar.add_task("pushing", total=0)
            done = push_folder(
                engine,
                Columns(engine, Path(scratch)),
                folder_of(connection, store),
                lambda: open_table(catalog, address),
                lambda so_far, total: bar.update(task, completed=so_far, total=total),
            )
    terminal.say(f"{done.actions} actions in {done.files} files")
