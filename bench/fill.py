"""A folder of 100 million actions, made as a server makes it but without HTTP.

The stream goes into the journal's own append in large groups, and the keeper's own process flushes and merges while
more comes in. When the keeper falls behind, the filling waits for it, as clients would that get 503; when it does
nothing for `STALLED_AFTER` seconds, the filling gives up. In the end it waits until all is in parts and no merge is
due. Shows actions a second, bytes an action and the parts; `find` then reads the folder.
"""

import asyncio
import contextlib
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import psutil
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench import machine, results
from bench.journal import Sizes, sizes
from bench.server import own
from bench.stream import sessions
from footpath import database
from footpath.action import Entry
from footpath.config import Settings
from footpath.journal.sqlite import SqliteJournal
from footpath.keeper import merge
from footpath.store.local import LocalStore

GROUP = 2_000  # sessions an append: 40,000 actions a commit
BACKLOG = 2_000_000  # actions: enough for the keeper never to wait, and a journal that stays in memory
LOOK_EVERY = 0.1  # s
STALLED_AFTER = 300.0  # s without a change in the catalog: the largest merge of 100 M actions takes less

console = Console()


def main(
    data: Annotated[Path, typer.Option(help="The folder to make; must not exist.")],
    actions: Annotated[int, typer.Option(min=1)] = 100_000_000,
    users: Annotated[int, typer.Option(min=1)] = 1_000_000,
    pages: Annotated[bool, typer.Option(help="Actions as the tracker sends them, for `bench.insight`.")] = False,  # noqa: FBT002 - an option of a command
) -> None:
    """Fill the folder, keep what it took."""
    if data.exists():
        raise typer.BadParameter(f"{data} exists: name a new folder")
    database.prepare(data)
    settings = Settings(data=data)
    start = time.perf_counter()
    with keeper(settings) as process:
        watch = Watch(settings, process)
        asyncio.run(append(settings, watch, actions, sessions(actions, users, pages=pages)))
        appended = time.perf_counter() - start
        wait_until_merged(settings, watch)
        took = time.perf_counter() - start
        keeper_cpu = own(psutil.Process(process.pid))
    held = sizes(data)
    told = {
        "actions": held.part_actions,
        "users": users,
        "pages": pages,
        "seconds_to_append": round(appended, 1),
        "seconds": round(took, 1),
        "actions_per_second": round(held.part_actions / took),
        "keeper_cpu_seconds": round(keeper_cpu, 1),
        "parts": held.parts,
        "bytes_an_action": round(held.part_bytes / held.part_actions, 2),
    }
    console.print(told)
    for path in results.save("fill", {"machine": machine.facts(data), "summary": told, "folder": asdict(held)}):
        console.print(f"kept {path}")


@contextlib.contextmanager
def keeper(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """The folder's keeper, as a server runs it: it stops when its input ends."""
    given = json.dumps({"data": str(settings.data)})
    process = subprocess.Popen(
        [sys.executable, "-m", "footpath.keeper", given], stdin=subprocess.PIPE, cwd=machine.ROOT
    )
    try:
        yield process
    finally:
        process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the keeper ended with {process.returncode}")


class Watch:
    """Looks at the keeper's progress, and raises when there is none."""

    def __init__(self, settings: Settings, keeping: subprocess.Popen[bytes]) -> None:
        self.settings = settings
        self.keeping = keeping
        self.last: tuple[Sizes, float] | None = None

    def look(self) -> Sizes:
        """The folder as it is now."""
        now, seen = time.monotonic(), sizes(self.settings.data)
        if self.keeping.poll() is not None:
            raise RuntimeError(f"the keeper ended with {self.keeping.returncode}")
        if self.last is None or seen != self.last[0]:
            self.last = (seen, now)
        elif now - self.last[1] > STALLED_AFTER:
            raise TimeoutError(f"the keeper has done nothing for {STALLED_AFTER:.0f} s: {seen}")
        return seen


async def append(settings: Settings, watch: Watch, actions: int, stream: Iterator[Entry]) -> None:
    """Append the whole stream, at most `BACKLOG` actions ahead of the keeper."""
    journal = SqliteJournal(settings.data, max_actions=settings.journal_actions, max_waiting_bytes=1 << 30)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("actions", total=actions)
            while group := list(itertools.islice(stream, GROUP)):
                while watch.look().backlog > BACKLOG:  # noqa: ASYNC110 - another process is waited for
                    await asyncio.sleep(LOOK_EVERY)
                await journal.append(group)
                progress.advance(task, sum(int(entry[2]) for entry in group))
    finally:
        await journal.close()


def wait_until_merged(settings: Settings, watch: Watch) -> None:
    """Return when the journal is empty and no run must be merged."""
    with contextlib.closing(LocalStore(settings.data)) as store:
        while watch.look().backlog or merge.plan(merge.runs_of(store.live()), settings.part_actions):
            time.sleep(LOOK_EVERY)


if __name__ == "__main__":
    typer.run(main)
