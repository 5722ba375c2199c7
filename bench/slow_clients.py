"""What slow clients cost the others: ack latency of a normal load, alone and beside 1,000 connections of slowhttptest.

    python -m bench.slow_clients

Three kinds: heads that never end, bodies that never end, answers that nobody reads. Normal load is open-loop
(bench.pace). Each kind stands between two runs without it, in several rounds, and its ratio is the p99 beside it to the
mean of theirs: a p99 is the 45th slowest of 4,500 requests, and a flush moves it by as much. It fails when the
median of the rounds is over two, when anything but 200 was answered, or when slowhttptest (installed by apt) got no
1,000 connections. slowhttptest, which looks at all of its sockets all the time, has the load generator's core: who is
slow is not on the server's machine.

With PUBLISH=docs/promises its numbers are written down for docs/PROMISES.md.
"""

import re
import signal
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bench import machine, results, server, tools
from bench.contenders import Footpath
from bench.pacing import pace
from bench.sustained_report import percentiles
from tests.proof import publish

READ_ALL = "/api/retrievelogs?fromTime=0001-01-01&toTime=9999-12-31"
KINDS: dict[str, list[str]] = {
    "heads": ["-H", "-i", "5", "-u", "/healthz"],
    "bodies": ["-B", "-i", "5", "-s", "8192", "-u", "/api/submitlogs"],
    "readers": ["-X", "-w", "512", "-y", "1024", "-n", "5", "-z", "32", "-u", READ_ALL],
}
LONGEST = 3_600  # s; it is stopped before
RATIO = 2.0  # of the p99 to that without
SETTLE = 3  # s, until slowhttptest has opened its connections

console = Console()


def main(
    rate: Annotated[int, typer.Option(help="Requests a second of the normal load, ten actions each.")] = 300,
    seconds: Annotated[int, typer.Option(min=5, help="Of each run.")] = 15,
    connections: Annotated[int, typer.Option(help="Slow connections.")] = 1_000,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    scratch: Annotated[Path | None, typer.Option(help="A folder on the disk to test; /tmp if not given.")] = None,
) -> None:
    """Measure, print, keep JSON; exit 1 when a kind costs too much."""
    program = tools.program("slowhttptest", "slowhttptest")
    folder = machine.scratch(scratch)
    cores = machine.cores()
    told: list[dict[str, Any]] = []
    try:
        footpath = Footpath(folder, cores.server)
        try:
            footpath.start()
            order = {"port": footpath.port, "rate": rate, "seconds": seconds, "actions": 10, "connections": 16}
            measured("warm-up", pace(order, folder, cores.load))
            told.append(measured("alone", pace(order, folder, cores.load)))
            for kind, options in list(KINDS.items()) * rounds:
                command = ["taskset", "--cpu-list", str(cores.load), str(program), *options]
                with slow(command, footpath.port, connections, folder / "slow.log") as log:
                    told.append(measured(kind, pace(order, folder, cores.load)))
                told[-1]["opened"] = opened(log.read_text())
                told.append(measured("alone", pace(order, folder, cores.load)))
        finally:
            footpath.stop()
    finally:
        server.remove(folder)
    wrong = failures(told, connections)
    show(told)
    for path in results.save("slow-clients", {"machine": machine.cpu_model(), "runs": told, "failures": wrong}):
        console.print(f"kept {path}")
    beside = [run for run in told if "ratio" in run]
    p99 = {kind: [run["ack_ms"]["p99"] for run in beside if run["run"] == kind] for kind in KINDS}
    publish(
        "slow-clients",
        test="python -m bench.slow_clients",
        slow_connections_of_each_kind=min(run["opened"] for run in beside),
        ms_ack_p99_alone=round(statistics.median(run["ack_ms"]["p99"] for run in told if "ratio" not in run), 1),
        **{f"ms_beside_slow_{kind}": round(statistics.median(p99[kind]), 1) for kind in KINDS},
        **{f"times_beside_slow_{kind}": round(ratio(told, kind), 1) for kind in KINDS},
        rounds=rounds,
        failures=wrong,
    )
    if wrong:
        console.print(f"[red]failed: {wrong}")
        raise typer.Exit(1)


@contextmanager
def slow(command: list[str], port: int, connections: int, log: Path) -> Iterator[Path]:
    """Run slowhttptest while the block runs; its log."""
    url = f"http://127.0.0.1:{port}{command[-1]}"
    command = [*command[:-2], "-c", str(connections), "-r", "1000", "-l", str(LONGEST)]
    with log.open("wb") as out:
        process = subprocess.Popen([*command, "-u", url, "-p", "5"], stdout=out, stderr=out)
        try:
            try:
                process.wait(SETTLE)
            except subprocess.TimeoutExpired:
                yield log
            else:
                raise RuntimeError(f"slowhttptest ended with {process.returncode}:\n{log.read_text()[-2000:]}")
        finally:
            process.send_signal(signal.SIGINT)  # at which it writes what it has counted
            process.wait()


def opened(log: str) -> int:
    """The most connections that it says it had: open ones, and those that the server has closed since."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", log)
    counts = [
        sum(int(number) for number in re.findall(r"(?:connected|closed):\s+(\d+)", look))
        for look in plain.split("slow HTTP test status")
    ]
    return max(counts)


def measured(name: str, seen: dict[str, Any]) -> dict[str, Any]:
    """The numbers of one run of the normal load."""
    acked = sorted(latency for latency in seen["latency"] if latency >= 0)
    return {"run": name, "ack_ms": percentiles(acked, 50, 99, 100), "statuses": seen["statuses"], "lost": seen["lost"]}


def failures(told: list[dict[str, Any]], connections: int) -> list[str]:
    """What must not have happened."""
    wrong = []
    for place, run in enumerate(told):
        if set(run["statuses"]) != {"200"} or run["lost"]:
            wrong.append(f"{run['run']}: statuses {run['statuses']}, {run['lost']} connections lost")
        if "opened" in run:
            run["ratio"] = run["ack_ms"]["p99"] / statistics.mean(told[place + by]["ack_ms"]["p99"] for by in (-1, 1))
            if run["opened"] < connections:
                wrong.append(f"{run['run']}: only {run['opened']} slow connections were opened")
    ratios = {kind: ratio(told, kind) for kind in KINDS}
    return [
        *wrong,
        *[f"{kind}: p99 is {times:.1f} times that without" for kind, times in ratios.items() if times > RATIO],
    ]


def ratio(told: list[dict[str, Any]], kind: str) -> float:
    """The median of the rounds."""
    return float(statistics.median(run["ratio"] for run in told if run["run"] == kind))


def show(told: list[dict[str, Any]]) -> None:
    """Print the runs."""
    table = Table("beside", "slow connections", "ack p50 ms", "p99", "most", "ratio")
    for run in told:
        ack = run["ack_ms"]
        times = f"{run['ratio']:.1f}" if "ratio" in run else ""
        latencies = [f"{ack[name]:.1f}" for name in ("p50", "p99", "p100")]
        table.add_row(run["run"], str(run.get("opened", "")), *latencies, times)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
