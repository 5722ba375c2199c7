"""What those who watch cost those who send: 1,000 open tails, and a client that loads pages all the time.

    python -m bench.tails

rate      The most actions a second, without tails and with them, each cell a fresh start, in turn (A B, A B). As people
          watch: most follow one user each, `--everything` of them see all that comes. Once more with all tails seeing
          everything, to be known; that has no aim.
latency   Ack times of a normal open-loop load (bench.pace): alone, beside the same tails, alone, beside pages, alone.

Every tail is open before a load begins, and none may be lost. After each load a last action is sent to each user who is
followed, and every tail of a user must get it; of some, each seq that came is held against a read. Those who see
everything may be behind a load that is more than they are given, but have every seq up to where they are.
With PUBLISH=docs/promises its numbers are written down for docs/PROMISES.md.

Exits 1 when an aim is missed: tails may take 10 % of the rate, and the p99 beside tails or pages may be twice that
alone. The server has one core; wrk, the tails and the pages have the other.
"""

import itertools
import json
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from bench import bodies, looking, machine, results, server, wrk
from bench.contenders import Footpath
from bench.ingest import WARM_UP, check
from bench.pacing import pace
from bench.slow_clients import measured
from bench.watching import MARK, Look, Watchers
from tests.proof import publish

LESS = 10.0  # % of the rate that tails may take
RATIO = 2.0  # of the p99 beside something to that alone
SAMPLES = 10  # tails of a user whose seqs are kept
DRAIN_WITHIN = 60.0  # s, until each has its last action
LAST = "last"  # a user whom nobody follows
STEP = 50  # between the users who are followed, by how often they come

console = Console(width=120)


@dataclass(frozen=True)
class Watch:
    """Who watches: so many tails that see everything, and the users that the others follow."""

    name: str
    everything: int
    users: Sequence[str]

    @property
    def paths(self) -> list[str]:
        """What they ask for; those who see everything first."""
        return ["/api/tail"] * self.everything + [f"/api/tail?userId={user}" for user in self.users]

    @property
    def kept(self) -> list[int]:
        """The places of the tails that keep what they got: one that sees everything, and some of a user."""
        first = self.everything
        return [*range(min(1, first)), *range(first, first + len(self.users), max(1, len(self.users) // SAMPLES))]


@dataclass(frozen=True)
class Cell:
    """One load at its most."""

    watch: str
    actions: int
    round: int
    actions_per_second: float
    server_cores: float
    micros_a_request: float  # CPU time of the process that speaks HTTP
    arrived: int  # actions, at all tails
    drained_seconds: float  # after the load, until every tail of a user had everything
    behind: int  # actions that who sees everything had not got then
    watching_cores: float
    wrk: wrk.Totals


def main(
    actions: Annotated[list[int] | None, typer.Option(help="Actions a request.")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    seconds: Annotated[int, typer.Option(min=1, help="Measured time of each cell.")] = 5,
    tails: Annotated[int, typer.Option(min=20)] = 1_000,
    everything: Annotated[int, typer.Option(min=0, help="Of the tails, how many have no filter.")] = 10,
    rate: Annotated[int, typer.Option(help="Requests a second of the normal load, ten actions each.")] = 300,
    phase: Annotated[int, typer.Option(min=5, help="Seconds of each run of the normal load.")] = 12,
    scratch: Annotated[Path | None, typer.Option(help="A folder on the disk to test; /tmp if not given.")] = None,
) -> None:
    """Measure, print, keep JSON; exit 1 when an aim is missed."""
    sizes = actions or [1, 10]
    folder, cores = machine.scratch(scratch), machine.cores()
    users = [f"u{STEP // 2 + STEP * number:06d}" for number in range(tails)]
    nobody, people = Watch("nobody", 0, []), Watch("people", everything, users[everything:])
    try:
        facts = machine.facts(folder)
        files = {size: bodies.write(folder, size) for size in sizes}
        cells = [
            peak(folder, cores, watch, size, turn, files[size], seconds)
            for turn, size, watch in itertools.product(range(rounds), sizes, (nobody, people))
        ]
        all_see_all = peak(folder, cores, Watch("all", tails, []), sizes[-1], 0, files[sizes[-1]], seconds)
        runs = latency(folder, cores, people, rate, phase)
    finally:
        server.remove(folder)
    costs = [cost(cells, size) for size in sizes]
    wrong = [
        f"at {row['actions_a_request']} actions a request {tails} tails take {row['less_percent']} % of the rate"
        for row in costs
        if row["less_percent"] > LESS
    ] + failures(runs)
    show(costs, all_see_all, runs)
    kept = {"rounds": rounds, "seconds": seconds, "tails": tails, "everything": everything, "rate": rate}
    result = {"machine": facts, "settings": kept, "costs": costs, "cells": [asdict(cell) for cell in cells]}
    for path in results.save("tails", {**result, "all": asdict(all_see_all), "latency": runs, "failures": wrong}):
        console.print(f"kept {path}")
    beside = {run["run"]: run for run in runs if "ratio" in run}
    publish(
        "tails",
        test="python -m bench.tails",
        tails=tails,
        **{f"percent_less_at_{row['actions_a_request']}_a_request": row["less_percent"] for row in costs},
        **{f"times_the_p99_beside_{name}": round(run["ratio"], 2) for name, run in beside.items()},
        failures=wrong,
    )
    if wrong:
        console.print(f"[red]failed: {wrong}")
        raise typer.Exit(1)


def peak(folder: Path, cores: machine.Cores, watch: Watch, size: int, turn: int, file: Path, seconds: int) -> Cell:
    """One cell: start, open the tails, warm up, measure, wait until they have everything, stop, count."""
    home = folder / "contender"
    home.mkdir(mode=0o755)
    footpath = Footpath(home, cores.server)
    try:
        footpath.start()
        with ExitStack() as stack:
            tails = stack.enter_context(Watchers(footpath.port, watch.paths, watch.kept, cores.load))
            warm = wrk.run(footpath.port, file, seconds=WARM_UP, connections=128, core=cores.load)
            used, http, before = footpath.cpu_seconds(), footpath.http_seconds(), tails.look()
            seen = wrk.run(footpath.port, file, seconds=seconds, connections=128, core=cores.load)
            on_cores, http = (footpath.cpu_seconds() - used) / seen.seconds, footpath.http_seconds() - http
            watching = (tails.look().cpu_seconds - before.cpu_seconds) / seen.seconds
            drained, last, behind = drain(footpath.port, tails, watch)
        acked = (warm.acked + seen.acked) * size + len(watch.users) + 1
        check("footpath", acked, footpath.stored(), under_way=2 * 128 * size, runs=(warm, seen))
    finally:
        footpath.stop()
    server.remove(home)
    cell = Cell(
        watch.name, size, turn, seen.acked * size / seen.seconds, on_cores, 1e6 * http / max(1, seen.acked),
        sum(last.actions), drained, behind, watching, seen,
    )  # fmt: skip
    console.print(
        f"round {turn + 1}  {size:>3} a request  {watch.name:<7} {cell.actions_per_second:>9,.0f} actions/s  "
        f"{cell.micros_a_request:.0f} us a request  {cell.arrived:>9,} arrived, all after {drained:.1f} s  "
        f"tails {watching:.2f} cores, wrk {seen.cpu:.2f}"
    )
    return cell


def drain(port: int, tails: Watchers, watch: Watch) -> tuple[float, Look, int]:
    """Send each followed user a last action and wait until every tail has its own; what came is what a read gives.

    Returns:
        The seconds that took, the last look, and how far behind who sees everything was.

    Raises:
        RuntimeError: a tail was lost, got nothing, or not exactly what is kept.
    """
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
        last = [{"time": datetime.now(UTC).isoformat(), "type": "VIEW"}]
        batches = [{"userId": user, "sessionId": MARK.decode(), "actions": last} for user in [*watch.users, LAST]]
        began = time.perf_counter()
        client.post("/api/submitlogs", json=batches).raise_for_status()
        look = tails.look()
        while missing := look.marks[watch.everything :].count(0):
            if look.lost or time.perf_counter() - began > DRAIN_WITHIN:
                raise RuntimeError(f"{missing} tails have not got everything, {look.lost} were lost")
            time.sleep(0.05)
            look = tails.look()
        took = time.perf_counter() - began
        (newest,) = stored_seqs(client, LAST)
        for place, seqs in look.seqs.items():
            is_all = int(place) < watch.everything
            wanted = (
                range(1, len(seqs) + 1) if is_all else stored_seqs(client, watch.users[int(place) - watch.everything])
            )
            if seqs != list(wanted):
                raise RuntimeError(f"{watch.paths[int(place)]} gave {len(seqs)} actions that are not what is kept")
    return took, look, newest - min(look.actions[: watch.everything], default=newest)


def stored_seqs(client: httpx.Client, user: str) -> list[int]:
    """The seqs of a user's actions, as a read gives them."""
    answer = client.get("/api/retrievelogs", params={"userId": user}, headers={"accept": "application/x-ndjson"})
    return sorted(int(json.loads(line)["seq"]) for line in answer.raise_for_status().text.splitlines())


def latency(folder: Path, cores: machine.Cores, watch: Watch, rate: int, seconds: int) -> list[dict[str, Any]]:
    """Runs of the normal load: alone, and beside each of two between those alone."""
    home = folder / "contender"
    home.mkdir(mode=0o755)
    footpath = Footpath(home, cores.server)
    told: list[dict[str, Any]] = []
    try:
        footpath.start()
        order = {"port": footpath.port, "rate": rate, "seconds": seconds, "actions": 10, "connections": 16}
        measured("warm-up", pace(order, folder, cores.load))
        told.append(measured("alone", pace(order, folder, cores.load)))
        with Watchers(footpath.port, watch.paths, watch.kept, cores.load) as tails:
            told.append(measured("tails", pace(order, folder, cores.load)))
            look = tails.look()
        told[-1]["arrived"] = sum(look.actions)
        told.append(measured("alone", pace(order, folder, cores.load)))
        with looking.beside(footpath.port, some_users(footpath.port), cores.load) as took:
            told.append(measured("pages", pace(order, folder, cores.load)))
        told[-1]["pages_ms"] = {name: round(statistics.median(times)) for name, times in took.items()}
        told[-1]["pages"] = sum(len(times) for times in took.values())
        told.append(measured("alone", pace(order, folder, cores.load)))
    finally:
        footpath.stop()
    server.remove(home)
    for before, run, after in zip(told, told[1:], told[2:], strict=False):
        if run["run"] != "alone":
            run["ratio"] = run["ack_ms"]["p99"] / statistics.mean(one["ack_ms"]["p99"] for one in (before, after))
    return told


def some_users(port: int) -> list[str]:
    """Users of the load, for their pages."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
        query: dict[str, str | int] = {"logType": "click", "limit": 500}
        answer = client.get("/api/retrievelogs", params=query, headers={"accept": "application/x-ndjson"})
    return sorted({str(json.loads(line)["userId"]) for line in answer.raise_for_status().text.splitlines()})


def failures(told: Sequence[dict[str, Any]]) -> list[str]:
    """What must not have happened beside the normal load."""
    wrong = [
        f"{run['run']}: statuses {run['statuses']}" for run in told if set(run["statuses"]) != {"200"} or run["lost"]
    ]
    return wrong + [
        f"{run['run']}: p99 {run['ack_ms']['p99']:.1f} ms is {run['ratio']:.1f} times that alone"
        for run in told
        if run.get("ratio", 0) > RATIO
    ]


def cost(cells: Sequence[Cell], size: int) -> dict[str, Any]:
    """How much less is taken in with tails than without in the same rounds, in percent; the median of the rounds."""
    alone, beside = (
        [one for one in cells if (one.watch, one.actions) == (name, size)] for name in ("nobody", "people")
    )
    less = [100 * (1 - two.actions_per_second / one.actions_per_second) for one, two in zip(alone, beside, strict=True)]
    more = [100 * (two.micros_a_request / one.micros_a_request - 1) for one, two in zip(alone, beside, strict=True)]
    return {
        "actions_a_request": size,
        "without": round(statistics.median(one.actions_per_second for one in alone)),
        "with": round(statistics.median(one.actions_per_second for one in beside)),
        "less_percent": round(statistics.median(less), 1),
        "less_percent_of_rounds": [round(value, 1) for value in less],
        "more_cpu_percent": round(statistics.median(more), 1),
        "arrived": round(statistics.median(one.arrived for one in beside)),
        "drained_seconds_at_most": round(max(one.drained_seconds for one in beside), 1),
        "behind_at_most": max(one.behind for one in beside),
    }


def show(costs: Sequence[dict[str, Any]], all_see_all: Cell, runs: Sequence[dict[str, Any]]) -> None:
    """Print the tables."""
    rates = Table("a request", "without", "with", "less", "(rounds)", "more CPU", "arrived", "all after", "behind")
    for row in costs:
        rounds = row["less_percent_of_rounds"]
        rates.add_row(
            str(row["actions_a_request"]), f"{row['without']:,}", f"{row['with']:,}", f"{row['less_percent']} %",
            f"{min(rounds)} to {max(rounds)}", f"{row['more_cpu_percent']} %", f"{row['arrived']:,}",
            f"{row['drained_seconds_at_most']} s", f"{row['behind_at_most']:,}",
        )  # fmt: skip
    console.print(rates)
    console.print(
        f"all see everything, {all_see_all.actions} a request: {all_see_all.actions_per_second:,.0f} actions/s, "
        f"{all_see_all.arrived:,} arrived, {all_see_all.behind:,} behind"
    )
    acks = Table("beside", "ack p50 ms", "p99", "most", "p99 is", "what")
    for run in runs:
        times = [f"{run['ack_ms'][name]:.1f}" for name in ("p50", "p99", "p100")]
        what = f"{run['arrived']:,} actions arrived" if "arrived" in run else ""
        what = f"{run['pages']} pages, ms {run['pages_ms']}" if "pages" in run else what
        acks.add_row(run["run"], *times, f"{run['ratio']:.2f} x" if "ratio" in run else "", what)
    console.print(acks)


if __name__ == "__main__":
    typer.run(main)
