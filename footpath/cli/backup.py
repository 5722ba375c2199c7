"""`footpath backup` and `footpath restore`."""

import sys
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from footpath.cli import terminal
from footpath.cli.filters import Config, Data


def backup(
    target: Annotated[Path, Argument(metavar="DIR", help="the folder to make")],
    data: Data = None,
    previous: Annotated[
        Path | None, Option(help="an earlier backup on the same disk: its parts are linked instead of copied")
    ] = None,
    config: Config = None,
) -> None:
    """Copy everything that is kept, as it is at one moment, with a server running or not.

    Example: footpath backup /mnt/backup/2026-11-24 --data ./data --previous /mnt/backup/2026-11-23
    """
    from footpath.config import read_settings
    from footpath.store.backup import backup

    settings = read_settings({"data": data}, file=config)
    with terminal.progress("{task.completed:,} of {task.total:,} parts") as progress:
        task = progress.add_task("backing up", total=0)
        done = backup(
            settings.data, target, previous, lambda parts, total: progress.update(task, completed=parts, total=total)
        )
    sys.stdout.write(
        f"{done.actions} actions in {target}: {done.parts} parts, of which {done.copied_parts} were copied"
        f" ({done.copied_bytes} bytes) and the others linked\n"
    )


def restore(
    source: Annotated[Path, Argument(metavar="DIR", help="what footpath backup made")],
    data: Annotated[Path | None, Option("--data", help="the data folder to make")] = None,
    config: Config = None,
) -> None:
    """Make a data folder of a backup, after every byte of it was compared with what was backed up.

    Example: footpath restore /mnt/backup/2026-11-24 --data ./data-again
    """
    from footpath.config import read_settings
    from footpath.store.restore import restore

    settings = read_settings({"data": data}, file=config)
    with terminal.progress("{task.completed:,} of {task.total:,} files") as progress:
        task = progress.add_task("restoring", total=0)
        made = restore(source, settings.data, lambda files, total: progress.update(task, completed=files, total=total))
    sys.stdout.write(
        f"{made.actions} actions of {made.made_at} in {settings.data}; start it with footpath serve --data"
        f" {settings.data}\n"
    )
