"""What keys and limits cost: the same footpath with both, with limits only, and with neither, at 1 and 100 actions.

Usually all requests of a client have the same head, which footpath then knows again; with `--distinct` no two have.
As in `ingest`, each cell is a fresh start, the server's process on one core and wrk on the other, and what was
acknowledged is counted. Each round begins with another (A B C, B C A, C A B), so that what a run leaves to the next,
such as a disk that still writes, falls on all alike. Without limits is `bench.bare`, which says what is left out. Rates
move with the machine, so each round is compared with itself; the cost is the median of the rounds. The CPU time of the
process that speaks HTTP, by request, moves less: it tells what is done, where the rate tells what comes of it.
"""

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bench import bodies, machine, results, server
from bench.ingest import WARM_UP, Plan, console, measure
from bench.ingest_report import Cell, figure, summary

NEITHER = "bare"
KINDS = (NEITHER, "footpath", "keyed")


def main(
    actions: Annotated[list[int] | None, typer.Option(help="Actions a request.")] = None,
    rounds: Annotated[int, typer.Option(min=3)] = 6,
    seconds: Annotated[int, typer.Option(min=1, help="Measured time of each cell.")] = 5,
    connections: Annotated[int, typer.Option(min=1)] = 128,
    *,
    distinct: Annotated[bool, typer.Option("--distinct", help="No two requests have the same head.")] = False,
    scratch: Annotated[Path | None, typer.Option(help="A folder on the disk to test; /tmp if not given.")] = None,
) -> None:
    """Measure, print the table, keep JSON and plot."""
    sizes = actions or [1, 100]
    folder = machine.scratch(scratch)
    plan = Plan(machine.cores(), folder, seconds, connections, distinct)
    try:
        facts = machine.facts(folder)
        files = {size: bodies.write(folder, size) for size in sizes}
        cells = [
            measure(plan, turn, KINDS[(place + turn) % len(KINDS)], size, files[size])
            for turn, size, place in itertools.product(range(rounds), sizes, range(len(KINDS)))
        ]
    finally:
        server.remove(folder)
    costs = [cost(cells, name, size) for size, name in itertools.product(sizes, KINDS)]
    console.print(table(costs))
    kept = {"seconds": seconds, "connections": connections, "rounds": rounds, "warm_up_seconds": WARM_UP}
    kept["distinct_heads"] = distinct
    result = {"machine": facts, "settings": kept, "costs": costs, "summary": summary(cells)}
    for path in results.save("keys", {**result, "cells": [asdict(cell) for cell in cells]}, figure(cells)):
        console.print(f"kept {path}")


def cost(cells: Sequence[Cell], name: str, size: int) -> dict[str, object]:
    """How much less a contender does than that with neither, in the same rounds, in percent; negative is more."""
    mine, bare = ([cell for cell in cells if (cell.key, cell.actions) == (key, size)] for key in (name, NEITHER))
    pairs = list(zip(mine, bare, strict=True))
    less = [100 * (1 - one.actions_per_second / other.actions_per_second) for one, other in pairs]
    more = [100 * (micros(one) / micros(other) - 1) for one, other in pairs]
    return {
        "contender": mine[0].name,
        "actions_a_request": size,
        "actions_per_second": round(statistics.median(cell.actions_per_second for cell in mine)),
        "less_percent": round(statistics.median(less), 1),
        "less_percent_of_rounds": [round(value, 1) for value in less],
        "micros_a_request": round(statistics.median(map(micros, mine)), 1),
        "more_cpu_percent": round(statistics.median(more), 1),
        "more_cpu_percent_of_rounds": [round(value, 1) for value in more],
    }


def micros(cell: Cell) -> float:
    """CPU time of the process that speaks HTTP, in microseconds a request."""
    return 1e6 * cell.http_cores * cell.actions / cell.actions_per_second


def table(costs: Sequence[dict[str, object]]) -> Table:
    """The costs for a terminal."""
    shown = Table(title="what keys and limits cost, by the rounds' medians")
    for column in ("contender", "a request", "actions/s", "less", "(rounds)", "us a request", "more", "(rounds)"):
        shown.add_column(column, justify="left" if column == "contender" else "right")
    for row in costs:
        rounds = [row["less_percent_of_rounds"], row["more_cpu_percent_of_rounds"]]
        less, more = (f"{min(of)} to {max(of)}" if isinstance(of, list) else "" for of in rounds)
        shown.add_row(
            str(row["contender"]), str(row["actions_a_request"]), f"{row['actions_per_second']:,}",
            f"{row['less_percent']} %", less, str(row["micros_a_request"]), f"{row['more_cpu_percent']} %", more,
        )  # fmt: skip
    return shown


if __name__ == "__main__":
    typer.run(main)
