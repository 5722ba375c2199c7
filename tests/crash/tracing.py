"""strace: at which system calls a process writes to a folder, and the process with a fault put into one of them.

strace counts calls a thread. A point is the N-th call of a name on a file within its thread, and a fault there hits the
first thread that comes so far; if that is another one, the point is hit under that one's name.
"""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.crash.disks import need
from tests.proof import missing

CALLS = (
    *("fdatasync", "fsync", "write", "writev", "pwrite64", "pwritev", "ftruncate", "fallocate"),
    *("rename", "renameat2", "unlink", "unlinkat", "mkdir", "rmdir"),
)
"""Every call that Python, SQLite and DuckDB change files with."""

_LINE = re.compile(r"(\d+) +(\w+)\((.*)")


class Point(NamedTuple):
    """The `number`-th (from 1) `call` on `file` in a thread."""

    call: str
    file: Path
    number: int


def points(command: Sequence[str], folder: Path, log: Path) -> tuple[list[Point], int]:
    """Run a command to its end: each system call with which it changed something in a folder, in order.

    Also how many no fault can be put into, since another thread comes to the same number on the same file first.
    """
    done = _run([*_strace(log), "-e", f"trace={','.join(CALLS)}", *command])
    assert done.returncode == 0, done.stderr
    found = _read(log, folder)
    return list(dict.fromkeys(found)), len(found) - len(set(found))


def broken(command: Sequence[str], folder: Path, log: Path, point: Point, fault: str) -> int | None:
    """Run a command with a fault at a point, like signal=SIGKILL; its exit status (137 when killed).

    None when the point was not reached: DuckDB sometimes writes with another thread than before.
    """
    faulty = ["-e", f"trace={point.call}", "-P", str(point.file)]
    faulty += ["-e", f"inject={point.call}:{fault}:when={point.number}"]
    done = _run([*_strace(log), *faulty, *command])
    return done.returncode if point in _read(log, folder) else None


def _strace(log: Path) -> list[str]:
    need("strace")
    return ["strace", "-f", "-y", "-qq", "-o", str(log)]


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)
    if "ptrace" in done.stderr:
        missing(
            f"strace may not trace here: {done.stderr.strip()[:100]}", "allow it: sysctl kernel.yama.ptrace_scope=1"
        )
    if done.returncode < 0:
        return subprocess.CompletedProcess(done.args, 128 - done.returncode, done.stdout, done.stderr)
    return done


def _read(log: Path, folder: Path) -> list[Point]:
    """The points in a log of strace that are in a folder; without what failed because there was nothing to change."""
    found = []
    counts: Counter[tuple[str, str, str]] = Counter()
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _LINE.match(line)
        place = match and re.search(rf'[<"]({re.escape(str(folder))}[^>"]*)[>"]', match[3])
        if match is None or place is None:
            continue
        thread, call, _ = match.groups()
        counts[thread, call, place[1]] += 1
        if "ENOENT" not in line and "EEXIST" not in line:
            found.append(Point(call, Path(place[1]), counts[thread, call, place[1]]))
    return found
