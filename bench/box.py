"""A box for a server under test: so much memory, and if wanted so much of a core, by control groups (version 1 or 2).

The kernel kills what takes more memory, so a bound that is passed is seen. Needs root. Where there is no group to be
had, it is `systemd-run --scope`; where there is no such either, the box cannot be made, and says so.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD = 100_000  # microseconds


@dataclass(frozen=True)
class Box:
    """A box, and the words that put a command into it."""

    how: str
    command: tuple[str, ...]
    memory: Path | None  # the folder of its group

    def anonymous(self) -> int:
        """Bytes of its processes' own memory now, each page once; not the page cache, which the kernel takes back."""
        return self._number("memory.stat", "total_rss", "anon")

    def kills(self) -> int:
        """How many of its processes the kernel has killed for their memory."""
        return self._number("memory.oom_control", "oom_kill") + self._number("memory.events", "oom_kill")

    def _number(self, file: str, *names: str) -> int:
        path = None if self.memory is None else self.memory / file
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        found = dict(line.split() for line in lines)
        return next((int(found[name]) for name in names if name in found), 0)


@contextmanager
def box(memory: int, cores: float | None = None) -> Iterator[Box]:
    """A box of so many bytes, and so much of a core. Take out what is in it before it ends."""
    name = f"footpath-bench-{os.getpid()}"
    if (ROOT / "memory").is_dir():
        groups = {ROOT / "memory" / name: {"memory.limit_in_bytes": str(memory)}}
        if cores is not None:
            quota = {"cpu.cfs_period_us": str(PERIOD), "cpu.cfs_quota_us": str(int(PERIOD * cores))}
            groups[ROOT / "cpu" / name] = quota
        how, seen = "cgroup v1 memory.limit_in_bytes", ROOT / "memory" / name
    elif (ROOT / "cgroup.controllers").exists():
        limits = {"memory.max": str(memory), "memory.swap.max": "0"}
        if cores is not None:
            limits["cpu.max"] = f"{int(PERIOD * cores)} {PERIOD}"
        groups = {ROOT / name: limits}
        how, seen = "cgroup v2 memory.max", ROOT / name
    elif shutil.which("systemd-run"):
        words = ["systemd-run", "--scope", "--quiet", "-p", f"MemoryMax={memory}"]
        words += [] if cores is None else ["-p", f"CPUQuota={int(cores * 100)}%"]
        yield Box("systemd-run MemoryMax", tuple(words), None)
        return
    else:
        raise RuntimeError("no memory control group can be made here: mount one, or run on a system with systemd")
    for folder, limits in groups.items():
        folder.mkdir()
        for file, value in limits.items():
            (folder / file).write_text(value)
    enter = "; ".join(f'echo $$ > "{folder}/cgroup.procs"' for folder in groups)
    try:
        yield Box(how, ("sh", "-c", f'{enter}; exec "$@"', "sh"), seen)
    finally:
        for folder in groups:
            subprocess.run(["rmdir", str(folder)], check=True)
