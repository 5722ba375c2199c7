"""How long what the pages show takes from a filled folder (see fill), over HTTP on a kept-alive connection.

summaries   what it took to make those that the folder lacked: seconds, CPU seconds, bytes
user        one user's sessions and then their last 200 actions, both together
histogram   all actions of one day by quarters of an hour
flows       the 100 ways most gone in one day
heat map    one page in one week, a grid of 100 x 100; only where clicks name their page (`bench.fill --pages`)
page        the same as a person gets them, where [ui] is installed: a user, the search of a day, flows, heat map
raw         the histogram and the flows of one day once more from half past midnight, in a folder without summaries

The first of each kind is told apart: then the server has just started. The server has one core, this program the other.
"""

import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.console import Console

from bench import machine, results
from bench.ask import Asker
from bench.contenders import footpath_serve, footpath_sql
from bench.find import drop_cache, some_users, span, table
from bench.journal import sizes
from bench.server import Server, free_port, healthy
from footpath.config import Settings
from footpath.keeper.summarise import Summariser
from footpath.store import parquet
from footpath.store.local import LocalStore
from footpath.store.summaries import Summaries

console = Console(width=None if sys.stdout.isatty() else 120)


def main(
    data: Annotated[Path, typer.Option(help="A data folder that `python -m bench.fill` has filled.")],
    times: Annotated[int, typer.Option(min=2, help="How often each question is asked, each time another.")] = 40,
) -> None:
    """Sum up, measure, print, keep JSON."""
    cores, facts = machine.cores(), machine.facts(data)  # before this process keeps to one core
    users = some_users(data, times * 5)
    first, last = span(data)
    pages = some_pages(data)
    told: dict[str, Any] = {"actions": sizes(data).part_actions, "summaries": sum_up(data)}
    rng = random.Random(1)
    days = [first + timedelta(days=rng.randrange(1, (last - first).days - 1)) for _ in range(times)]
    drop_cache(data)
    asked = Asked(rng, users, days, pages)
    with serving(data, cores.server) as asker:
        os.sched_setaffinity(0, {cores.load})
        for name, ask in asked.kinds(with_pages=find_spec("vl_convert") is not None).items():
            often = times * 5 if name == "user" else times
            told[f"{name}_ms"] = spread([ask(asker) for _ in range(often)])
        told["rss"] = asker.rss()
    with (
        tempfile.TemporaryDirectory(dir=data.parent) as bare,
        serving(without_summaries(data, Path(bare)), None) as asker,
    ):
        for path in ("/api/counts", "/api/flows"):
            told[f"{path}_without_summaries_ms"] = spread([asked.day(path, asker) for _ in range(2)])
    console.print(table(told))
    for kept in results.save("insight", {"machine": facts, "summary": told, "folder": asdict(sizes(data))}):
        console.print(f"kept {kept}")


@dataclass(frozen=True)
class Asked:
    """What is asked for, each time another. Answers are milliseconds."""

    rng: random.Random
    users: list[str]
    days: list[datetime]
    pages: list[str]

    def kinds(self, *, with_pages: bool) -> dict[str, Callable[[Asker], float]]:
        """Each kind of question by its name."""
        kinds: dict[str, Callable[[Asker], float]] = {
            "user": self.user,
            "histogram_of_a_day": partial(self.day, "/api/counts"),
            "flows_of_a_day": partial(self.day, "/api/flows"),
            "heat_map_of_a_week": partial(self.heat, "/api/clicks"),
        }
        if with_pages:
            kinds |= {
                "page_user": self.page_of_user,
                "page_search_of_a_day": partial(self.day, "/ui/"),
                "page_flows_of_a_day": partial(self.day, "/ui/flows"),
                "page_heat_map_of_a_week": partial(self.heat, "/ui/heatmap"),
            }
        return {name: ask for name, ask in kinds.items() if self.pages or "heat_map" not in name}

    def user(self, asker: Asker) -> float:
        who = self.rng.choice(self.users)
        sessions = asker.ask("/api/sessions", userId=who)
        return sessions.ms + asker.ask(userId=who, order="desc", limit="200").ms

    def page_of_user(self, asker: Asker) -> float:
        return asker.ask(f"/ui/users/{quote(self.rng.choice(self.users), safe='')}").ms

    def day(self, path: str, asker: Asker) -> float:
        date = self.rng.choice(self.days).date().isoformat()
        return asker.ask(path, fromTime=date, toTime=date).ms

    def heat(self, path: str, asker: Asker) -> float:
        date = self.rng.choice(self.days).date()
        week = {"fromTime": date.isoformat(), "toTime": (date + timedelta(days=6)).isoformat()}
        return asker.ask(path, page=self.rng.choice(self.pages), **week).ms


def sum_up(data: Path) -> dict[str, float]:
    """Make the summaries that are missing."""
    settings = Settings(data=data)
    summariser = Summariser(Summaries(data), 0, smallest=settings.part_actions)
    began, cpu, rows = time.perf_counter(), time.process_time(), 0
    with closing(LocalStore(data)) as store, parquet.engine(data, memory=settings.keeper_memory) as engine:
        while step := summariser.step(engine, store, store.live()):
            rows += step
    files = list((data / "summaries").iterdir())
    return {
        "actions": rows,
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
    }


def some_pages(data: Path) -> list[str]:
    """The ten pages with the most clicks of a sample."""
    rows = footpath_sql(
        data,
        "SELECT properties ->> '$.page' AS page, count(*) AS clicks FROM actions"
        " WHERE type = 'CLICK' AND user_id < 'u02' GROUP BY page ORDER BY clicks DESC LIMIT 11",
    )
    return [str(row["page"]) for row in rows if row["page"] is not None][:10]


def without_summaries(data: Path, bare: Path) -> Path:
    """A copy of the folder without summaries, its parts linked."""
    shutil.copytree(data / "parts", bare / "parts", copy_function=os.link)
    for file in data.glob("footpath.db*"):
        shutil.copy2(file, bare)
    return bare


@contextmanager
def serving(data: Path, core: int | None) -> Iterator[Asker]:
    """A server over a folder, and a connection to it."""
    with tempfile.TemporaryDirectory() as logs:
        port = free_port()
        server = Server(footpath_serve(data, port), core=core, log=Path(logs) / "server.log")
        try:
            server.wait_until(lambda: healthy(port))
            yield Asker(port, server.rss)
        finally:
            server.stop()


def spread(found: list[float]) -> dict[str, float]:
    """The first, then the percentiles of the others, in ms."""
    rising = sorted(found[1:])
    return {
        "asked": len(found),
        "first": round(found[0], 1),
        "p50": round(results.percentile(rising, 50), 1),
        "p95": round(results.percentile(rising, 95), 1),
        "most": round(rising[-1], 1),
    }


if __name__ == "__main__":
    typer.run(main)
