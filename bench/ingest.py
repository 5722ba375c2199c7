"""How many actions a second each contender makes durable, at 1, 10 and 100 actions a request.

Each cell of the table is measured in a fresh start of a contender with an empty folder, in turn (A B C D, A B C D),
so that drift of the machine hits all. The server has one core, wrk another (see contenders). After each run the
stored actions are counted: no fewer than were answered 200, and no more than those plus the requests that were under
way when wrk stopped. A wrong count ends the benchmark with an error, and so does a refused request. `others` is what
processes that are not under test took of the server's core: a cell with much of it says little.
"""

import itertools
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench import bodies, machine, results, server, wrk
from bench.contenders import CONTENDERS
from bench.ingest_report import Cell, figure, summary, table

USUAL = ("footpath", "parse-only", "fastapi", "flask")
WARM_UP = 1  # s: imports, caches, the first checkpoint

console = Console(width=None if sys.stdout.isatty() else 150)


@dataclass(frozen=True)
class Plan:
    """What every cell has in common."""

    cores: machine.Cores
    scratch: Path
    seconds: int
    connections: int
    distinct: bool = False  # whether no two requests have the same head


def main(
    contender: Annotated[list[str] | None, typer.Option(help=f"Only these; of {', '.join(CONTENDERS)}.")] = None,
    actions: Annotated[list[int] | None, typer.Option(help="Actions a request.")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[int, typer.Option(min=1, help="Measured time of each cell.")] = 10,
    connections: Annotated[int, typer.Option(min=1)] = 128,
    scratch: Annotated[Path | None, typer.Option(help="A folder on the disk to test; /tmp if not given.")] = None,
) -> None:
    """Measure, print the table, keep JSON and plot."""
    chosen = contender or list(USUAL)
    unknown = set(chosen) - set(CONTENDERS)
    if unknown:
        raise typer.BadParameter(f"unknown contender {', '.join(sorted(unknown))}: choose of {', '.join(CONTENDERS)}")
    sizes = actions or [1, 10, 100]
    folder = machine.scratch(scratch)
    plan = Plan(machine.cores(), folder, seconds, connections)
    try:
        facts = machine.facts(folder)
        files = {size: bodies.write(folder, size) for size in sizes}
        cells = [
            measure(plan, turn, name, size, files[size])
            for turn, size, name in itertools.product(range(rounds), sizes, chosen)
        ]
    finally:
        server.remove(folder)
    console.print(table(cells))
    kept = {"seconds": seconds, "connections": connections, "rounds": rounds, "warm_up_seconds": WARM_UP}
    result = {"machine": facts, "settings": kept, "summary": summary(cells), "cells": [asdict(cell) for cell in cells]}
    for path in results.save("ingest", result, figure(cells)):
        console.print(f"kept {path}")


def measure(plan: Plan, turn: int, name: str, size: int, file: Path) -> Cell:
    """One cell: start, warm up, measure, stop, count."""
    home = plan.scratch / "contender"
    home.mkdir(mode=0o755)
    contender = CONTENDERS[name](home, plan.cores.server)
    try:
        contender.start()
        load = partial(
            wrk.run, contender.port, file, connections=plan.connections, core=plan.cores.load,
            headers=contender.headers, distinct=plan.distinct,
        )  # fmt: skip
        warm = load(seconds=WARM_UP)
        before, http, busy = contender.cpu_seconds(), contender.http_seconds(), machine.busy_seconds(plan.cores.server)
        seen = load(seconds=plan.seconds)
        cpu = (contender.cpu_seconds() - before) / seen.seconds
        on_core = (machine.busy_seconds(plan.cores.server) - busy) / seen.seconds
        mine = (contender.http_seconds() - http) / seen.seconds
        stored = contender.stored()
    finally:
        contender.stop()
    acked = (warm.acked + seen.acked) * size
    check(contender.name, acked, stored, under_way=2 * plan.connections * size, runs=(warm, seen))
    server.remove(home)
    others = on_core - mine
    rate = seen.acked * size / seen.seconds
    cell = Cell(name, contender.name, size, turn, rate, cpu, mine, others, acked, stored, seen)
    console.print(
        f"round {turn + 1}  {size:>3} a request  {contender.name:<22} {cell.actions_per_second:>11,.0f} actions/s  "
        f"p99 {seen.p99_ms:>8.2f} ms  server {cpu:.2f} cores, others {others:.2f}, wrk {seen.cpu:.2f}"
    )
    return cell


def check(name: str, acked: int, stored: int | None, *, under_way: int, runs: tuple[wrk.Totals, ...]) -> None:
    """Raise unless every request was answered 200 and what was acked is there."""
    refused, broken = sum(run.refused for run in runs), sum(run.socket_errors for run in runs)
    if refused or broken:
        raise RuntimeError(f"{name}: {refused} requests refused, {broken} socket errors")
    if stored is not None and not acked <= stored <= acked + under_way:
        raise RuntimeError(f"{name}: stored {stored:,} actions, acked {acked:,} (and at most {under_way:,} under way)")


if __name__ == "__main__":
    typer.run(main)
