"""The load: wrk on its own core with one thread, bodies in turn from a file, and its totals read back."""

import json
import resource
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import tools

SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True)
class Totals:
    """What wrk saw. Its latency is that of a closed loop: a slow answer delays the next question (see sustained)."""

    requests: int
    seconds: float
    refused: int
    socket_errors: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu: float  # cores that wrk used: near 1.0, it was the bottleneck and the number is a lower bound

    @property
    def acked(self) -> int:
        """Requests that were answered 200."""
        return self.requests - self.refused


def run(
    port: int,
    bodies: Path,
    *,
    seconds: int,
    connections: int,
    core: int,
    headers: Sequence[str] = (),
    distinct: bool = False,
) -> Totals:
    """Load for so many seconds; raises when wrk fails or gives no totals.

    Args:
        port: of the server, on loopback.
        bodies: a file with one a line.
        seconds: that it lasts.
        connections: that are kept open.
        core: that wrk runs on.
        headers: of each request, beside the usual.
        distinct: give each body a header with a value of its own.
    """
    command = [
        "taskset", "--cpu-list", str(core), str(tools.program("wrk", "wrk")), "--threads", "1",
        "--connections", str(connections), "--duration", f"{seconds}s", "--timeout", "30s",
        *(part for header in headers for part in ("--header", header)),
        "--script", str(SCRIPT), f"http://127.0.0.1:{port}", "--", str(bodies), *(("distinct",) if distinct else ()),
    ]  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    line = next((line for line in done.stdout.splitlines() if line.startswith("RESULT ")), None)
    if done.returncode != 0 or line is None:
        raise RuntimeError(f"wrk ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    seen = json.loads(line.removeprefix("RESULT "))
    took = seen["micros"] / 1e6
    return Totals(
        requests=seen["requests"],
        seconds=took,
        refused=seen["refused"],
        socket_errors=seen["socket_errors"],
        p50_ms=seen["p50_us"] / 1000,
        p99_ms=seen["p99_us"] / 1000,
        max_ms=seen["max_us"] / 1000,
        cpu=(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / took,
    )
