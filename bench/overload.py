"""What is left of the peak when more is asked than can be done: open-loop load at 1 to 5 times the peak, in 400 MB.

    python -m bench.overload            goodput, refusals and memory at 1, 2, 3, 4 and 5 times the peak
    python -m bench.overload --reader   ack latency of a normal load, alone and beside a scan of everything

The server has 400 MB (see `box`) and a fraction of a core, so that one generator can offer five times what it can do.
Goodput is what was answered 200 while the load went on. It fails when that is under 80 % of the peak, when a refusal is
not a 503 with Retry-After, when the server ended, or (--reader) when the p99 is over twice as long.
"""

import http.client
import threading
from collections.abc import Sequence
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

MIB = 2**20
LEVELS = (1, 2, 3, 4, 5)
GOODPUT = 0.8  # of the peak, at every level
READER_RATIO = 2.0
FIRST_ACTIONS = 20_000  # a second, from where the peak is looked for upward
KEPT_UP = 0.9  # of a rate: what is answered of less is the peak
FILL = 300  # requests of 1,000 actions that a scan then reads, again and again
EVERYTHING = "/api/retrievelogs?fromTime=0001-01-01&toTime=9999-12-31"

console = Console()


class Boxed(Footpath):
    """footpath as `footpath serve` starts it, in a box."""

    def __init__(self, folder: Path, core: int, inside: Box) -> None:
        super().__init__(folder, core)
        self.inside = inside

    def start(self) -> None:
        self.serve([*self.inside.command, *footpath_serve(self.data, self.port)])


def main(
    *,
    reader: Annotated[bool, typer.Option("--reader", help="Beside a scan of everything, instead.")] = False,
    seconds: Annotated[int, typer.Option(min=5, help="Of each run.")] = 15,
    actions: Annotated[int, typer.Option(help="Actions a request.")] = 100,
    connections: Annotated[int, typer.Option(help="Open at once.")] = 1_000,
    memory: Annotated[int, typer.Option(help="MiB for server and keeper; 400, or 2,000 with --reader.")] = 0,
    cores: Annotated[float, typer.Option(help="Of a core that they have together.")] = 0.3,
    rate: Annotated[int, typer.Option(help="Requests a second of the normal load of --reader.")] = 100,
    scratch: Annotated[Path | None, typer.Option(help="A folder on the disk to test; /tmp if not given.")] = None,
) -> None:
    """Measure, print, keep JSON; exit 1 when it fails."""
    memory = memory or (2_000 if reader else 400)
    folder = machine.scratch(scratch)
    used = machine.cores()
    try:
        with box(memory * MIB, None if reader else cores) as inside:
            console.print(f"in {memory} MiB by {inside.how}")
            footpath = Boxed(folder, used.server, inside)
            try:
                footpath.start()
                order = {"port": footpath.port, "seconds": seconds, "actions": actions}
                if reader:
                    runs, wrong = beside_reader(footpath, {**order, "rate": rate, "connections": 16}, used.load)
                else:
                    runs, wrong = overloaded(footpath, {**order, "connections": connections}, used.load)
                if footpath.servers[-1].process.poll() is not None:
                    wrong.append("the server ended")
            finally:
                footpath.stop()
            peak = inside.peak()
    finally:
        server.remove(folder)
    show(runs)
    console.print(f"most memory in the box, page cache included: {'unknown' if peak is None else peak // MIB} MiB")
    told = {"machine": machine.cpu_model(), "box": inside.how, "memory_mib": memory, "runs": runs, "failures": wrong}
    for path in results.save("overload-reader" if reader else "overload", told):
        console.print(f"kept {path}")
    if wrong:
        console.print(f"[red]failed: {wrong}")
        raise typer.Exit(1)


def overloaded(footpath: Boxed, order: dict[str, Any], core: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The peak, then each level."""
    folder = footpath.folder
    order = {**order, "reconnect": True, "drain": 10.0}
    few = {**order, "connections": 32}
    rate = FIRST_ACTIONS / order["actions"]
    while (look := measured("peak", few | {"rate": rate}, footpath, core))["goodput"] > KEPT_UP * rate:
        rate *= 1.5
    runs, peak = [look], look["goodput"]
    runs += [measured(f"{level} x", order | {"rate": level * peak}, footpath, core) for level in LEVELS]
    wrong = []
    for run in runs[1:]:
        if run["goodput"] < GOODPUT * peak:
            wrong.append(f"{run['run']}: {run['goodput'] / peak:.0%} of the peak")
        if set(run["statuses"]) - {"200", "503"} or run["statuses"].get("503", 0) != run["hinted"]:
            wrong.append(f"{run['run']}: statuses {run['statuses']}, {run['hinted']} with Retry-After")
    if "MemoryError" in (folder / "server.log").read_text(errors="replace"):
        wrong.append("the log has a MemoryError")
    return runs, wrong


def beside_reader(footpath: Boxed, order: dict[str, Any], core: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The normal load alone, beside a scan of everything, and alone."""
    fill = {**order, "actions": 1_000, "rate": 50, "seconds": FILL / 50}
    measured("fill", fill, footpath, core)
    runs = [measured("alone", order, footpath, core)]
    for readers in (1, 4):
        with_readers = [Scan(footpath.port) for _ in range(readers)]
        for scan in with_readers:
            scan.start()
        beside = measured(f"beside {readers} scans", order, footpath, core)
        for scan in with_readers:
            scan.stop()
        scanned = sum(scan.bytes for scan in with_readers)
        broken = [scan.failed for scan in with_readers if scan.failed]
        runs += [beside | {"scanned": scanned, "broken": broken}, measured("alone", order, footpath, core)]
    wrong = []
    for place, run in enumerate(runs):
        if "scanned" in run:
            without = max(runs[place - 1]["ack_ms"]["p99"], runs[place + 1]["ack_ms"]["p99"])
            if run["ack_ms"]["p99"] > READER_RATIO * without:
                wrong.append(f"{run['run']}: p99 {run['ack_ms']['p99']} ms, {without} ms without")
            if not run["scanned"] or run["broken"]:
                wrong.append(f"{run['run']}: {run['scanned']} bytes were read; {run['broken']}")
    return runs, wrong


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
                while not self.ending.is_set() and (piece := answer.read1(1 << 16)):
                    self.bytes += len(piece)
            except (OSError, http.client.HTTPException) as error:
                self.failed = f"{type(error).__name__}: {error}"
                return
            finally:
                connection.close()

    def stop(self) -> None:
        self.ending.set()
        self.join()


def measured(name: str, order: dict[str, Any], footpath: Boxed, core: int) -> dict[str, Any]:
    """One run of the load."""
    resident = [footpath.servers[-1].rss()]
    seen = pace(order, footpath.folder, core, lambda: resident.append(footpath.servers[-1].rss()))
    acked = sorted(latency for latency in seen["latency"] if latency >= 0)
    return {
        "run": name,
        "offered": order["rate"],
        "goodput": seen["within"] / order["seconds"],
        "statuses": seen["statuses"],
        "hinted": seen["hinted"],
        "lost": seen["lost"],
        "ack_ms": percentiles(acked, 50, 99),
        "generator_cores": round(seen["cpu"], 2),
        "rss_mib": max(resident) // MIB,
    }


def show(runs: Sequence[dict[str, Any]]) -> None:
    """Print the runs."""
    table = Table("run", "offered/s", "goodput/s", "refused", "ack p50 ms", "p99", "generator cores", "RSS MiB")
    for run in runs:
        ack = [f"{run['ack_ms'].get(name, 0):.1f}" for name in ("p50", "p99")]
        row = [f"{run['offered']:.0f}", f"{run['goodput']:.0f}", str(run["statuses"].get("503", 0)), *ack]
        table.add_row(run["run"], *row, str(run["generator_cores"]), str(run["rss_mib"]))
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
