"""Whether footpath keeps up: ten minutes of 200,000 actions a second, each ack timed from the moment it was due.

The load is open-loop (bench.pace), 100 actions a request over keep-alive connections, on one core; footpath has the
other, and its keeper what is left of both. Each second: resident memory of all its processes, and CPU. Each five: the
sizes of the SQLite file and its WAL, the actions in the journal that no part holds yet, and the parts. At the end the
stored actions are counted; the run fails when fewer are there than were acked, or when anything but 200 was answered.
"""

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from bench import machine, results, server, sustained_report
from bench.contenders import Footpath, footpath_count
from bench.journal import Sizes, sizes

SIZES_EVERY = 5  # s

console = Console()


@dataclass(frozen=True)
class Sample:
    """The server at one moment of the run."""

    second: float
    rss: int
    cpu_seconds: float
    sizes: Sizes | None


def main(
    rate: Annotated[int, typer.Option(help="Actions a second.")] = 200_000,
    actions: Annotated[int, typer.Option(help="Actions a request.")] = 100,
    seconds: Annotated[int, typer.Option(min=2)] = 600,
    connections: Annotated[int, typer.Option(min=1)] = 32,
    scratch: Annotated[Path | None, typer.Option(help="A folder on the disk to test; /tmp if not given.")] = None,
) -> None:
    """Measure, print, keep JSON and plot; exit 1 when something was lost or refused."""
    folder = machine.scratch(scratch)
    cores = machine.cores()
    order = {"rate": rate / actions, "seconds": seconds, "actions": actions, "connections": connections}
    try:
        facts = machine.facts(folder)
        footpath = Footpath(folder, cores.server)
        try:
            footpath.start()
            seen, samples = drive(footpath, {"port": footpath.port, **order}, cores.load)
        finally:
            footpath.stop()
        stored = footpath_count(footpath.data)
        at_rest = sizes(footpath.data)
    finally:
        server.remove(folder)
    told = sustained_report.summary(seen, order, stored=stored, samples=[asdict(sample) for sample in samples])
    console.print(sustained_report.table(told))
    result = {
        "machine": facts,
        "settings": {"actions_per_second": rate, **order},
        "summary": told,
        "at_rest": asdict(at_rest),
        "seconds": sustained_report.by_second(seen, order),
        "samples": [asdict(sample) for sample in samples],
    }
    for path in results.save("sustained", result, sustained_report.figure(result)):
        console.print(f"kept {path}")
    if told["failures"]:
        console.print(f"[red]failed: {told['failures']}")
        raise typer.Exit(1)


def drive(footpath: Footpath, order: dict[str, object], core: int) -> tuple[dict[str, object], list[Sample]]:
    """Run the generator to its end and sample the server meanwhile."""
    answer = footpath.folder / "seen.json"
    generator = subprocess.Popen(
        ["taskset", "--cpu-list", str(core), sys.executable, "-m", "bench.pace", str(answer)],
        stdin=subprocess.PIPE, text=True, cwd=machine.ROOT,
    )  # fmt: skip
    samples: list[Sample] = []
    try:
        assert generator.stdin is not None
        json.dump(order, generator.stdin)
        generator.stdin.close()
        start = time.perf_counter()
        while generator.poll() is None:
            samples.append(sample(footpath, len(samples), time.perf_counter() - start))
            try:
                generator.wait(max(0.0, start + len(samples) - time.perf_counter()))
            except subprocess.TimeoutExpired:
                continue
    finally:
        generator.kill()
        generator.wait()
    if generator.returncode != 0:
        raise RuntimeError(f"the load generator ended with {generator.returncode}")
    seen: dict[str, object] = json.loads(answer.read_text())
    return seen, samples


def sample(footpath: Footpath, number: int, second: float) -> Sample:
    """One look at the server."""
    of_folder = sizes(footpath.data) if number % SIZES_EVERY == 0 else None
    rss = sum(one.rss() for one in footpath.servers)
    return Sample(round(second, 2), rss, footpath.cpu_seconds(), of_folder)


if __name__ == "__main__":
    typer.run(main)
