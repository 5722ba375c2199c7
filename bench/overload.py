"""What is left of the peak when more is asked than can be done: open-loop load at 1 to 5 times the peak, in 400 MiB.

    python -m bench.overload            goodput, refusals and memory at 1, 2, 3, 4 and 5 times the peak
    python -m bench.overload --reader   ack latency of a normal load, alone and beside scans of everything

The server has 400 MiB (see `box`) and a fraction of a core, so that one generator can offer five times what it can do.
The peak is what 64 connections get that ask for half as much again; it is measured before and after each level, since
a machine's speed moves. Goodput is what was answered 200 while a level went on. Last comes a crowd: more connections
than the memory has room for bodies, and a scan of everything, which takes what it needs of the same fraction of a core.
It is there for the memory and the refusals; its goodput and what became of the scan are told.

It fails when a level's goodput is under 80 % of the peaks beside it, when a refusal is not a 503 with Retry-After, when
the kernel killed a process of the server, when something acknowledged is not there, or (--reader) when the p99 is over
twice as long. With PUBLISH=docs/promises its numbers are written down for docs/PROMISES.md.
"""

import http.client
import os
import shutil
import statistics
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench import machine, results, server
from bench.box import Box, box
from bench.contenders import Footpath, footpath_serve
from bench.pacing import pace
from bench.sustained_report import percentiles
from tests.proof import publish

MIB = 2**20
LEVELS = (1, 2, 3, 4, 5)
GOODPUT = 0.8  # of the peak, at every level
READER_RATIO = 2.0
FIRST_ACTIONS = 20_000  # a second, from where the peak is looked for upward
KEPT_UP = 0.9  # of a rate: what is answered of less is the peak
ABOVE = 1.5  # times a rate that it keeps up with: where the peak is looked for next, and measured
FEW = 64  # connections that ask for the peak
MANY = 1_000  # connections of a level
CROWD = 4_000  # connections of the last level: nearly as many as 400 MiB allow
FILL = 300  # requests of 1,000 actions that a scan then reads, again and again
EVERYTHING = "/api/retrievelogs?fromTime=0001-01-01&toTime=9999-12-31"

console = Console()


class Boxed(Footpath):
    """footpath as `footpath serve` starts it, in a box."""

    def __init__(self, folder: Path, core: int, inside: Box) -> None:
        super().__init__(folder, core)
        self.inside = inside
        self.acknowledged = 0  # actions

    def start(self) -> None:
        self.serve([*self.inside.command, *footpath_serve(self.data, self.port)])


def main(
    *,
    reader: Annotated[bool, typer.Option("--reader", help="Beside scans of everything, instead.")] = False,
    seconds: Annotated[int, typer.Option(min=5, help="Of each run.")] = 15,
    actions: Annotated[int, typer.Option(help="Actions a request.")] = 100,
    memory: Annotated[int, typer.Option(help="MiB for server and keeper; 400, or 2,000 with --reader.")] = 0,
    cores: Annotated[float, typer.Option(help="Of a core that they have together.")] = 0.3,
    rate: Annotated[int, typer.Option(help="Requests a second of the normal load of --reader.")] = 100,
    filled: Annotated[Path | None, typer.Option(help="A folder of bench-fill that --reader scans a copy of.")] = None,
    scratch: Annotated[Path | None, typer.Option(help="A folder on the disk to test; /tmp if not given.")] = None,
) -> None:
    """Measure, print, keep JSON; exit 1 when it fails."""
    memory = memory or (2_000 if reader else 400)
    folder = machine.scratch(scratch)
    used = machine.cores()
    os.sched_setaffinity(0, {used.load})  # who scans is not on the server's machine
    try:
        with box(memory * MIB, None if reader else cores) as inside:
            console.print(f"in {memory} MiB by {inside.how}")
            footpath = Boxed(folder, used.server, inside)
            if filled is not None:
                shutil.copytree(filled, footpath.data)
            try:
                footpath.start()
                order = {"port": footpath.port, "seconds": seconds, "actions": actions}
                if reader:
                    order |= {"rate": rate, "connections": 16}
                    runs, wrong = beside_reader(footpath, order, used.load, fill=filled is None)
                else:
                    runs, wrong = overloaded(footpath, order, used.load)
                if footpath.servers[-1].process.poll() is not None:
                    wrong.append("the server ended")
                if inside.kills():
                    wrong.append(f"the kernel killed {inside.kills()} processes for their memory")
                if "MemoryError" in (folder / "server.log").read_text(errors="replace"):
                    wrong.append("the log has a MemoryError")
                stored = footpath.stored() if filled is None else footpath.acknowledged
                if stored < footpath.acknowledged:
                    wrong.append(f"{footpath.acknowledged} actions were acknowledged, and {stored} are there")
            finally:
                footpath.stop()
            kills = inside.kills()
    finally:
        server.remove(folder)
    show(runs)
    console.print(f"acknowledged {footpath.acknowledged:,} actions, found {stored:,}; killed for memory: {kills}")
    told = {"machine": machine.cpu_model(), "box": inside.how, "memory_mib": memory, "runs": runs, "failures": wrong}
    for path in results.save("overload-reader" if reader else "overload", told):
        console.print(f"kept {path}")
    reached = ratios(runs) if reader else levels(runs) | {"acknowledged": footpath.acknowledged, "found": stored}
    publish(
        "overload-reader" if reader else "overload",
        test=f"python -m bench.overload{' --reader' if reader else ''}",
        memory_MiB=memory,
        **reached,
        killed=kills,
        failures=wrong,
    )
    if wrong:
        console.print(f"[red]failed: {wrong}")
        raise typer.Exit(1)


def overloaded(footpath: Boxed, order: dict[str, Any], core: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Each level between two looks at the peak."""
    order = {**order, "connections": MANY, "reconnect": True, "abandon": True}
    few = {**order, "connections": FEW}
    rate = FIRST_ACTIONS / order["actions"]
    while (look := measured("peak", few | {"rate": rate}, footpath, core))["goodput"] > KEPT_UP * rate:
        rate *= ABOVE
    runs = [look]
    for level in LEVELS:
        asked = order | {"rate": level * runs[-1]["goodput"]}
        runs += [measured(f"{level} x", asked, footpath, core), peak_again(runs, few, footpath, core)]
    crowd = order | {"rate": LEVELS[-1] * runs[-1]["goodput"], "connections": CROWD}
    with scans(1, footpath.port) as scanning:
        runs.append(measured(f"{LEVELS[-1]} x, {CROWD} connections, a scan", crowd, footpath, core))
    (scan,) = scanning
    runs[-1]["scan"] = {"bytes": scan.bytes, "failed": scan.failed}
    runs.append(peak_again(runs, few, footpath, core))
    wrong = []
    for before, run, after in zip(runs[::2], runs[1::2], runs[2::2], strict=False):
        run["share"] = run["goodput"] / statistics.mean((before["goodput"], after["goodput"]))
        if run["share"] < GOODPUT and "scan" not in run:
            wrong.append(f"{run['run']}: {run['share']:.0%} of the peak")
        if set(run["statuses"]) - {"200", "503"} or run["statuses"].get("503", 0) != run["hinted"]:
            wrong.append(f"{run['run']}: statuses {run['statuses']}, {run['hinted']} with Retry-After")
    return runs, wrong


def peak_again(runs: list[dict[str, Any]], few: dict[str, Any], footpath: Boxed, core: int) -> dict[str, Any]:
    """Another look at the peak."""
    peak = max(run["goodput"] for run in runs if run["run"] == "peak")
    return measured("peak", few | {"rate": ABOVE * peak}, footpath, core)


def levels(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is told of a run at several levels."""
    peaks = [run["goodput"] for run in runs if "share" not in run]
    over = [run for run in runs if "share" in run]
    return {
        "peak_requests_a_second": round(statistics.median(peaks)),
        **{
            f"percent_of_the_peak_at_{run['run'].replace(',', '')}".replace(" ", "_"): round(100 * run["share"])
            for run in over
        },
        "scan_of_the_crowd": next(run["scan"]["failed"] or "went on" for run in over if "scan" in run),
        "refused": sum(run["statuses"].get("503", 0) for run in over),
        "refused_without_Retry-After": sum(run["statuses"].get("503", 0) - run["hinted"] for run in over),
        "MiB_anonymous_memory_at_most": max(run["anonymous_mib"] for run in runs),
    }


def beside_reader(
    footpath: Boxed, order: dict[str, Any], core: int, *, fill: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """The normal load alone, beside scans of everything, and alone."""
    if fill:
        measured("fill", {**order, "actions": 1_000, "rate": 50, "seconds": FILL / 50}, footpath, core)
    runs = [measured("alone", order, footpath, core)]
    for readers in (1, 4):
        with scans(readers, footpath.port) as scanning:
            beside = measured(f"{readers} scans", order, footpath, core)
        scanned = sum(scan.bytes for scan in scanning)
        broken = [scan.failed for scan in scanning if scan.failed]
        runs += [beside | {"scanned": scanned, "broken": broken}, measured("alone", order, footpath, core)]
    wrong = []
    for before, run, after in zip(runs[::2], runs[1::2], runs[2::2], strict=False):
        run["ratio"] = run["ack_ms"]["p99"] / statistics.mean((before["ack_ms"]["p99"], after["ack_ms"]["p99"]))
        if run["ratio"] > READER_RATIO:
            wrong.append(f"{run['run']}: p99 {run['ack_ms']['p99']} ms is {run['ratio']:.1f} times that without")
        if not run["scanned"] or run["broken"]:
            wrong.append(f"{run['run']}: {run['scanned']} bytes were read; {run['broken']}")
    return runs, wrong


def ratios(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is told of a run beside readers."""
    alone = [run["ack_ms"]["p99"] for run in runs if "ratio" not in run]
    beside = [run for run in runs if "ratio" in run]
    return {
        "ms_ack_p99_alone": round(statistics.median(alone), 1),
        **{f"ms_beside_{run['run']}".replace(" ", "_"): round(run["ack_ms"]["p99"], 1) for run in beside},
        "times_at_most": round(max(run["ratio"] for run in beside), 1),
        "MiB_scanned": sum(run["scanned"] for run in beside) // MIB,
    }


class Scan(threading.Thread):
    """A client that reads everything, again and again."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.bytes = 0
        self.failed = ""
        self.ending = threading.Event()

    def run(self) -> None:
        while not self.ending.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            try:
                connection.request("GET", EVERYTHING)
                answer = connection.getresponse()
                if answer.status != 200:
                    self.failed = f"{answer.status}: {answer.read()!r}"
                while not self.ending.is_set() and (piece := answer.read1(1 << 16)):
                    self.bytes += len(piece)
            except (OSError, http.client.HTTPException) as error:
                self.failed = f"{type(error).__name__}: {error}"
                return
            finally:
                connection.close()


@contextmanager
def scans(number: int, port: int) -> Iterator[list[Scan]]:
    """So many scans while the block runs."""
    running = [Scan(port) for _ in range(number)]
    for scan in running:
        scan.start()
    try:
        yield running
    finally:
        for scan in running:
            scan.ending.set()
        for scan in running:
            scan.join()


def measured(name: str, order: dict[str, Any], footpath: Boxed, core: int) -> dict[str, Any]:
    """One run of the load."""
    anonymous = [footpath.inside.anonymous()]
    look: Callable[[], object] = lambda: anonymous.append(footpath.inside.anonymous())  # noqa: E731
    seen = pace(order, footpath.folder, core, look)
    footpath.acknowledged += seen["statuses"].get("200", 0) * order["actions"]
    return {
        "run": name,
        "offered": order["rate"],
        "goodput": seen["within"] / order["seconds"],
        "statuses": seen["statuses"],
        "hinted": seen["hinted"],
        "lost": seen["lost"],
        "ack_ms": percentiles(sorted(latency for latency in seen["latency"] if latency >= 0), 50, 99),
        "served_ms": percentiles(sorted(seen["served"]), 50, 99),
        "generator_cores": round(seen["cpu"], 2),
        "anonymous_mib": max(anonymous) // MIB,
    }


def show(runs: Sequence[dict[str, Any]]) -> None:
    """Print the runs: `ack` is from when a request was due, `served` from when it was sent."""
    table = Table("run", "offered/s", "goodput/s", "share", "refused", "ack p99 ms", "served p99", "generator", "MiB")
    for run in runs:
        share = f"{run['share']:.0%}" if "share" in run else f"{run['ratio']:.1f}" if "ratio" in run else ""
        late = [f"{run[name].get('p99', 0):.1f}" for name in ("ack_ms", "served_ms")]
        row = [f"{run['offered']:.0f}", f"{run['goodput']:.0f}", share, str(run["statuses"].get("503", 0)), *late]
        table.add_row(run["run"], *row, str(run["generator_cores"]), str(run["anonymous_mib"]))
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
