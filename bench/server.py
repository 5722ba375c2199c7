"""A server under test: started on a core, ready when it says so, measured with its children, stopped by pid."""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from bench.machine import ROOT

READY_WITHIN = 60.0  # s: a folder of 100 M actions must be open by then, too
STOPPED_WITHIN = 120.0  # s: a last flush may be under way
LOOK_EVERY = 0.02  # s


class Server:
    """One process and its children, on one core (they inherit it) or on any, its output in a file."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        core: int | None,
        log: Path,
        user: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                [*(() if core is None else ("taskset", "--cpu-list", str(core))), *command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=ROOT if user is None else log.parent,
                env={**os.environ, **(environment or {})},
                user=user,
                start_new_session=True,  # Ctrl-C is for the benchmark, which then stops the server in order
            )

    def wait_until(self, ready: Callable[[], bool], within: float = READY_WITHIN) -> float:
        """Seconds until it was ready; raises with the end of its log when it died or took too long."""
        start = time.perf_counter()
        while not ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"server ended with {self.process.returncode}:\n{self.tail()}")
            if time.perf_counter() - start > within:
                raise TimeoutError(f"server not ready within {within:.0f} s:\n{self.tail()}")
            time.sleep(LOOK_EVERY)
        return time.perf_counter() - start

    def family(self) -> list[psutil.Process]:
        """The process and all its children, as of now."""
        try:
            parent = psutil.Process(self.process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def sum(self, of: Callable[[psutil.Process], float]) -> float:
        """A number summed over the family; a child that ended meanwhile counts nothing."""
        total = 0.0
        for process in self.family():
            try:
                total += of(process)
            except psutil.NoSuchProcess:
                continue
        return total

    def free_children(self) -> None:
        """Let the children use every core."""
        for process in self.family()[1:]:
            process.cpu_affinity([])

    def cpu_seconds(self) -> float:
        """CPU time of the family so far, children that have ended included."""
        mine = self.process.pid
        return self.sum(lambda process: sum(process.cpu_times()[:4]) if process.pid == mine else own(process))

    def alone(self) -> float:
        """CPU time of the process that has the core: of a server that forks, its newest child."""
        newest = [one for one in self.family() if "footpath.keeper" not in one.cmdline()][-1]
        return own(newest)

    def rss(self) -> int:
        """Resident memory of the family in bytes; pages that they share count in each."""
        return int(self.sum(lambda process: process.memory_info().rss))

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to end and wait; raise (after a kill) when it does not. Nothing to do when it has ended."""
        if self.process.poll() is not None:
            return
        family = self.family()
        self.process.send_signal(how)
        try:
            self.process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            for process in family:
                if process.is_running():
                    process.kill()
            self.process.wait()
            raise TimeoutError(f"server did not stop within {STOPPED_WITHIN:.0f} s:\n{self.tail()}") from None
        psutil.wait_procs(family, timeout=STOPPED_WITHIN)

    def tail(self, lines: int = 20) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def own(process: psutil.Process) -> float:
    """CPU time of one process alone."""
    times = process.cpu_times()
    return float(times.user + times.system)


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def healthy(port: int) -> bool:
    """Whether GET /healthz answers 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def remove(folder: Path) -> None:
    """Delete a contender's folder, so that the next starts on the same free disk."""
    shutil.rmtree(folder)
