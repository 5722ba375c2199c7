"""How long reading takes from a filled folder (see fill), over HTTP on a kept-alive connection.

start        from the command to the first 200 of /healthz
first touch  one user's path with the folder's files dropped from the page cache before each question
first time   the path of each of 2,000 random users, once, cache as it comes
warm         the same users again
an hour      one type in one hour: time to the first byte and to the last
a big answer one type over days: actions a second and the server's resident memory while it streams

The server has one core, this program the other. Users are drawn from the folder itself.
"""

import contextlib
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench import machine, results
from bench.ask import Answer, Asker
from bench.contenders import footpath_serve, footpath_sql
from bench.journal import sizes
from bench.server import Server, free_port, healthy

FIRST_TOUCHES = 50  # each drops the cache first, which takes a while

console = Console(width=None if sys.stdout.isatty() else 120)


@dataclass(frozen=True)
class Paths:
    """Latencies of one user's path, in ms."""

    asked: int
    p50: float
    p99: float
    most: float
    actions_each: float


def main(
    data: Annotated[Path, typer.Option(help="A data folder that `python -m bench.fill` has filled.")],
    users: Annotated[int, typer.Option(min=1)] = 2_000,
    big_days: Annotated[float, typer.Option(help="The big answer covers so many days.")] = 10.0,
) -> None:
    """Measure, print, keep JSON."""
    cores, facts = machine.cores(), machine.facts(data)  # before this process keeps to one core
    chosen = some_users(data, users)
    first, last = span(data)
    held = sizes(data)
    actions = held.part_actions + held.backlog
    drop_cache(data)
    with tempfile.TemporaryDirectory() as logs:
        port = free_port()
        server = Server(footpath_serve(data, port), core=cores.server, log=Path(logs) / "server.log")
        try:
            started = server.wait_until(lambda: healthy(port))
            os.sched_setaffinity(0, {cores.load})
            asker = Asker(port, server.rss)
            told = measure(asker, data, chosen, (first, last), big_days)
        finally:
            server.stop()
    told = {
        "start_s": round(started, 3),
        **told,
        "actions": actions,
        "bytes_an_action_in_parts": round(held.part_bytes / max(1, held.part_actions), 2),
        "bytes_an_action_with_all_files": round(held.disk_bytes / actions, 2),
        "parts": held.parts,
    }
    console.print(table(told))
    for path in results.save("find", {"machine": facts, "summary": told, "folder": asdict(held)}):
        console.print(f"kept {path}")


def measure(
    asker: Asker, data: Path, users: list[str], during: tuple[datetime, datetime], big_days: float
) -> dict[str, Any]:
    """All the questions, in the order of the module's docstring."""
    first, last = during
    touched = []
    for user in users[:FIRST_TOUCHES]:
        drop_cache(data)
        touched.append(asker.ask(userId=user))
    once = [asker.ask(userId=user) for user in users]
    again = [asker.ask(userId=user) for user in users]
    hour = first + (last - first) / 2
    of_hour = asker.ask(logType="click", fromTime=hour, toTime=hour + timedelta(hours=1))
    big = asker.ask(logType="click", fromTime=first, toTime=first + timedelta(days=big_days))
    return {
        "path_first_touch_ms": asdict(paths(touched)),
        "path_first_time_ms": asdict(paths(once)),
        "path_warm_ms": asdict(paths(again)),
        "type_in_an_hour": asdict(of_hour),
        "big_answer": {**asdict(big), "actions_per_second": round(big.actions / (big.ms / 1000))},
    }


def paths(answers: list[Answer]) -> Paths:
    """The percentiles of many small answers."""
    rising = sorted(answer.ms for answer in answers)
    each = sum(answer.actions for answer in answers) / len(answers)
    p50, p99 = results.percentile(rising, 50), results.percentile(rising, 99)
    return Paths(len(rising), round(p50, 3), round(p99, 3), round(rising[-1], 3), round(each, 1))


def some_users(data: Path, count: int) -> list[str]:
    """Random users of the folder, each as likely as any other."""
    rows = footpath_sql(data, "SELECT DISTINCT user_id FROM actions WHERE hash(user_id) % 20 = 0 ORDER BY user_id")
    known = [str(row["user_id"]) for row in rows]
    if not known:
        raise RuntimeError(f"{data} holds no actions: fill it with `python -m bench.fill`")
    return random.Random(1).choices(known, k=count)


def span(data: Path) -> tuple[datetime, datetime]:
    """The first and last time in the folder."""
    (row,) = footpath_sql(data, "SELECT min(time)::VARCHAR AS first, max(time)::VARCHAR AS last FROM actions")
    return datetime.fromisoformat(str(row["first"])), datetime.fromisoformat(str(row["last"]))


def drop_cache(data: Path) -> None:
    """Have the kernel forget the folder's pages, so that the next read comes from the disk."""
    for path in files(data):
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:  # the keeper removes what it replaced
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def files(data: Path) -> Iterator[Path]:
    """Every file of the folder that holds actions."""
    yield from data.glob("footpath.db*")
    yield from (data / "parts").glob("*.parquet")


def table(told: dict[str, Any]) -> Table:
    """The summary for a terminal."""
    shown = Table(title="finding", show_header=False)
    for name, value in told.items():
        text = ", ".join(f"{key} {part:,}" for key, part in value.items()) if isinstance(value, dict) else f"{value:,}"
        shown.add_row(name.replace("_", " "), text)
    return shown


if __name__ == "__main__":
    typer.run(main)
