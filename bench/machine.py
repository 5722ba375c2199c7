"""The machine a number came from, and the two cores the benchmark uses of it: numbers without these say nothing."""

import os
import platform
import statistics
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    "apsw", "asyncpg", "duckdb", "fastapi", "flask", "gunicorn", "httptools", "msgspec", "pydantic", "sqlalchemy",
    "starlette", "uvicorn", "uvloop", "zstandard",
)  # fmt: skip


@dataclass(frozen=True)
class Cores:
    """One core for everything of the server, another for the load: neither takes time from the other."""

    server: int
    load: int


def cores() -> Cores:
    """The first two cores this process may use."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise RuntimeError("the benchmark needs two cores: one for the server, one for the load")
    return Cores(usable[0], usable[1])


def busy_seconds(core: int) -> float:
    """CPU time that a core has spent on anything so far: waiting for the disk and idling are not counted."""
    times = psutil.cpu_times(percpu=True)[core]
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def scratch(parent: Path | None) -> Path:
    """A new folder on a real disk: in memory every fsync is free. Others may enter it (PostgreSQL does)."""
    folder = Path(tempfile.mkdtemp(prefix="footpath-bench-", dir=parent))
    if file_system(folder) in {"tmpfs", "ramfs"}:
        folder.rmdir()
        raise RuntimeError(f"{folder.parent} is in memory, where fsync is free: give a folder on a disk (--scratch)")
    folder.chmod(0o755)
    return folder


def file_system(folder: Path) -> str:
    """The type of the file system that holds the folder."""
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    places = (folder.resolve(), *folder.resolve().parents)
    return next((mounts[place] for place in places if place in mounts), "unknown")


def fsync_ms(folder: Path, times: int = 100) -> float:
    """Median time of writing 4 KB and fdatasync, in ms: what one commit costs at least."""
    took = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - start)
    return round(statistics.median(took) * 1000, 3)


def facts(folder: Path) -> dict[str, object]:
    """What to keep beside the numbers."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "used_cores": asdict(cores()),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "kernel": platform.release(),
        "system": platform.platform(),
        "file_system": file_system(folder),
        "fdatasync_ms": fsync_ms(folder),
        "load_average_before": os.getloadavg(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "commit": commit(),
    }


def cpu_model() -> str:
    """The processor's own name for itself."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def version(package: str) -> str | None:
    """The installed version; None when it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """The commit that was measured, `+` when files differed from it; None outside a repository or before the first."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None
