"""How much memory this process may use, and what follows for the settings that bound it.

The kernel kills what takes more than the machine has, or than its control group may. So where there is less than 2 GB
the defaults of these settings are shares of what there is, which together leave room for two interpreters; a value that
somebody chose stands. Tried in 400 MiB by `python -m bench.overload`. Leaves out swap, and groups that change later.
"""

import os
from pathlib import Path

MB = 1_000_000
_SHARES = {  # what one of it may take of the memory, and the least that is of use
    "connections": (100_000, 256),  # a connection takes 8 KB while it is idle, and what is on its way
    "waiting_bytes": (16, 8 << 20),  # twice what a body may be, nearly
    "held_bytes": (32, 8 << 20),
    "answer_bytes": (32, 8 << 20),  # a page's answer, about
    "read_memory": (5, 64 * MB),  # DuckDB fails, whatever it may spill, where it has too little for a vector of texts
    "keeper_memory": (8, 48 * MB),
}
_OF_EACH_WORKER = ("connections", "waiting_bytes", "held_bytes", "answer_bytes", "read_memory")


def given(root: Path = Path("/")) -> int | None:
    """Bytes of memory that this process may use: what the machine has, or less if a group it is in says so.

    None where the system does not say (Windows).

    Args:
        root: where /proc and /sys are.
    """
    if not hasattr(os, "sysconf"):
        return None
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    mounts = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            folder, file = mounts / "memory", "memory.limit_in_bytes"
        elif not controllers:
            folder, file = mounts, "memory.max"
        else:
            continue
        inside = Path(path.strip("/"))
        for group in (inside, *inside.parents):  # in a container the first ones may not be there to see
            limits += _limit(folder / group / file)
    return min(limits)


def beside_a_server() -> int | None:
    """What a command may use of it, beside a server that has taken its shares: half."""
    there = given()
    return None if there is None else there // 2


def _limit(file: Path) -> list[int]:
    try:
        text = file.read_text().strip()
    except OSError:
        return []
    return [int(text)] if text.isdecimal() else []  # else it is `max`


def shares(memory: int, workers: int) -> dict[str, int]:
    """What the settings that bound memory are at most in `memory` bytes, by name; `workers` share it."""
    return {
        name: max(least, memory // part // (workers if name in _OF_EACH_WORKER else 1))
        for name, (part, least) in _SHARES.items()
    }
