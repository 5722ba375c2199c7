"""`footpath check`."""

import sys
from contextlib import closing

from typer import Exit

from footpath.cli import terminal
from footpath.cli.filters import Config, Data


def check(data: Data = None, config: Config = None) -> None:
    """Look whether everything that is kept is whole: every part, the catalog and the journal. Changes nothing.

    A line for each problem, which names the file; exit code 1 if there is damage. A server may be running.

    Example: footpath check --data ./data
    """
    from footpath import database
    from footpath.config import read_settings
    from footpath.memory import beside_a_server
    from footpath.store.check import look_at_database, look_at_parts

    settings = read_settings({"data": data}, file=config, memory=beside_a_server())
    damage = actions = 0
    with closing(database.connect(settings.data, readonly=True)) as connection:
        parts, hot_actions, problems, is_whole = look_at_database(connection)
    for problem in problems:
        _line(*problem)
        damage += 1
    if not is_whole:
        sys.stdout.write("the database cannot be read to its end, so the parts were not looked at\n")
        raise Exit(1)
    with (
        look_at_parts(settings.data, settings.read_memory) as look,
        terminal.progress("{task.completed:,} of {task.total:,} bytes") as progress,
    ):
        task = progress.add_task("checking", total=sum(part.bytes for part in parts))
        for part in parts:
            found = look.problem(part)
            if found is not None:
                progress.stop()
                _line(*found)
                damage += 1
                progress.start()
            actions += part.rows
            progress.advance(task, part.bytes)
        leftovers = look.leftovers()
    for name in leftovers:
        _line(name, "left over: no row names it, so nothing reads it; the next start of footpath serve removes it")
    sys.stdout.write(
        f"{len(parts)} parts with {actions} actions and {hot_actions} in the journal looked at:"
        f" {f'{damage} problems' if damage else 'all whole'}{f', {len(leftovers)} left over' if leftovers else ''}\n"
    )
    if damage:
        raise Exit(1)


def _line(file: str, what: str) -> None:
    sys.stdout.write(f"{terminal.safe(f'{file}: {what}')}\n")
