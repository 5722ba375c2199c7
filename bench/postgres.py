"""A PostgreSQL of its own: a fresh cluster in a folder, reached by a socket in that folder only, stopped by its pid.

Settings are those of a small server that someone has tuned; durability is PostgreSQL's default and said out loud.
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from bench import tools
from bench.server import Server

SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "wal_buffers": "16MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "max_connections": "50",
    "listen_addresses": "",  # the Unix socket is the faster way in, and nobody else can reach it
}


class Postgres:
    """One cluster, running."""

    def __init__(self, folder: Path) -> None:
        binaries = tools.postgres_binaries()
        user = "postgres" if os.geteuid() == 0 else None  # initdb refuses root
        self.folder = folder / "pg"
        self.folder.mkdir()
        if user is not None:
            shutil.chown(self.folder, user, user)
        cluster = self.folder / "cluster"
        subprocess.run(
            [binaries / "initdb", "-D", cluster, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale", "C"],
            user=user, cwd=self.folder, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        self.server = Server(
            [str(binaries / "postgres"), "-D", str(cluster), "-k", str(self.folder), *options],
            core=None, log=folder / "postgres.log", user=user,
        )  # fmt: skip
        self.psql = [str(binaries / "psql"), "-h", str(self.folder), "-U", "postgres", "-AtX", "-c"]
        self.server.wait_until(self.answers)

    @property
    def dsn(self) -> str:
        """Where asyncpg finds it."""
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def answers(self) -> bool:
        """Whether it takes a query."""
        return subprocess.run([*self.psql, "SELECT 1"], capture_output=True, check=False).returncode == 0

    def number(self, query: str) -> int:
        """The one number that a query gives."""
        return int(subprocess.run([*self.psql, query], capture_output=True, text=True, check=True).stdout)

    def stop(self) -> None:
        """Fast shutdown."""
        self.server.stop(signal.SIGINT)
