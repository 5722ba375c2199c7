"""The contenders: each starts from nothing, takes POST /api/submitlogs, and counts what it stored.

The process that speaks HTTP has one core to itself; what works beside it (footpath's keeper, PostgreSQL) may use every
core, as it would on a user's machine.
"""

import json
import sqlite3
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from bench.machine import ROOT, cores
from bench.postgres import Postgres
from bench.server import Server, free_port, healthy


class Contender(ABC):
    """One way to keep actions. `start`, then `stored` (which stops the HTTP server first), then `stop` in any case."""

    name: str
    note: str
    headers: Sequence[str] = ()  # of each request, beside the usual ones

    def __init__(self, folder: Path, core: int) -> None:
        self.folder = folder
        self.core = core
        self.port = free_port()
        self.servers: list[Server] = []

    @abstractmethod
    def start(self) -> None:
        """Return when it answers."""

    @abstractmethod
    def stored(self) -> int | None:
        """Stop taking actions and count those that are there; None when it keeps none."""

    def stop(self) -> None:
        """Stop what still runs, the newest first."""
        for server in reversed(self.servers):
            server.stop()

    def cpu_seconds(self) -> float:
        """CPU time of all its processes so far."""
        return sum(server.cpu_seconds() for server in self.servers)

    def http_seconds(self) -> float:
        """CPU time of the process that speaks HTTP so far."""
        return self.servers[-1].alone()

    def serve(self, command: Sequence[str], environment: dict[str, str] | None = None) -> Server:
        """Start its HTTP server and wait for /healthz."""
        log = self.folder / "server.log"
        server = Server(command, core=self.core, log=log, environment=environment)
        self.servers.append(server)
        server.wait_until(lambda: healthy(self.port))
        server.free_children()
        return server


class Footpath(Contender):
    name = "footpath"
    note = "as `footpath serve` starts it, keeper process included"

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.folder / "data"

    def start(self) -> None:
        self.serve(footpath_serve(self.data, self.port))

    def stored(self) -> int:
        self.servers[-1].stop()
        return footpath_count(self.data)


class ParseOnly(Contender):
    name = "footpath, parse only"
    note = "the same HTTP server, decode and checks; nothing is stored: the ceiling"

    def start(self) -> None:
        self.serve([sys.executable, "-m", "bench.parse_only", str(self.port)])

    def stored(self) -> None:
        self.servers[-1].stop()


class FastApi(Contender):
    name = "FastAPI + PostgreSQL"
    note = "pydantic, asyncpg pool, one COPY a request; uvicorn with uvloop and httptools"

    def start(self) -> None:
        self.postgres = Postgres(self.folder)
        self.servers.append(self.postgres.server)
        self.serve(
            [
                sys.executable, "-m", "uvicorn", "bench.rival_fastapi:app", "--host", "127.0.0.1",
                "--port", str(self.port), "--loop", "uvloop", "--http", "httptools",
                "--no-access-log", "--log-level", "warning",
            ],
            {"BENCH_DSN": self.postgres.dsn},
        )  # fmt: skip

    def stored(self) -> int:
        self.servers[-1].stop()
        return self.postgres.number("SELECT count(*) FROM actions")

    def stop(self) -> None:
        if len(self.servers) > 1:
            self.servers[-1].stop()
        if self.servers:
            self.postgres.stop()


class FlaskSqlite(Contender):
    name = "Flask + SQLite"
    note = "SQLAlchemy bulk insert, WAL, synchronous=FULL; gunicorn gthread, 16 threads, one process"

    def start(self) -> None:
        self.serve(
            [
                sys.executable, "-m", "gunicorn", "bench.rival_flask:app", "--bind", f"127.0.0.1:{self.port}",
                "--worker-class", "gthread", "--workers", "1", "--threads", "16", "--keep-alive", "75",
                "--log-level", "warning",
            ],
            {"BENCH_SQLITE": str(self.folder / "actions.db")},
        )  # fmt: skip

    def stored(self) -> int:
        self.servers[-1].stop()
        database = sqlite3.connect(self.folder / "actions.db")
        try:
            return int(database.execute("SELECT count(*) FROM actions").fetchone()[0])
        finally:
            database.close()


class Keyed(Footpath):
    name = "footpath, with a key"
    note = "the same; every request carries a write key that has a rate"

    def start(self) -> None:
        self.headers = [f"Authorization: Bearer {create_key(self.data)}"]
        super().start()


class Bare(Footpath):
    name = "footpath, no limits"
    note = "the same without a key and without the limits that bench.bare names"

    def start(self) -> None:
        self.serve([sys.executable, "-m", "bench.bare", str(self.data), str(self.port)])


class FootpathKinesis(Contender):
    name = "footpath, Kinesis"
    note = "the journal over a Kinesis stream, against a stub that answers at once, on the core of the load"

    def __init__(self, folder: Path, core: int) -> None:
        super().__init__(folder, core)
        self.stub = free_port()

    def start(self) -> None:
        command = [sys.executable, "-m", "bench.kinesis_stub", str(self.stub)]
        self.servers.append(Server(command, core=cores().load, log=self.folder / "stub.log"))
        self.servers[0].wait_until(lambda: healthy(self.stub))
        keys = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
        address = f"kinesis://bench?region=eu-central-1&endpoint=http://127.0.0.1:{self.stub}"
        self.serve([sys.executable, "-m", "bench.kinesis_server", str(self.port), address], keys)

    def stored(self) -> None:
        self.servers[-1].stop()


CONTENDERS: dict[str, type[Contender]] = {
    "footpath": Footpath,
    "parse-only": ParseOnly,
    "fastapi": FastApi,
    "flask": FlaskSqlite,
    "keyed": Keyed,
    "bare": Bare,
    "kinesis": FootpathKinesis,
}


def create_key(data: Path) -> str:
    """A write key of a folder; its rate is so high that it is counted and never reached."""
    command = ["key", "create", "--role", "write", "--name", "bench", "--rate", "1000000000", "--data", str(data)]
    done = subprocess.run(
        [sys.executable, "-m", "footpath", *command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def footpath_serve(data: Path, port: int) -> list[str]:
    """The command that serves the folder."""
    return [sys.executable, "-m", "footpath", "serve", "--data", str(data), "--host", "127.0.0.1", "--port", str(port)]


def footpath_sql(data: Path, query: str) -> list[dict[str, object]]:
    """The rows of a query over a folder that no server holds."""
    command = [sys.executable, "-m", "footpath", "sql", "--data", str(data), query]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"footpath sql ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def footpath_count(data: Path) -> int:
    """Actions in a folder that no server holds."""
    (row,) = footpath_sql(data, "SELECT count(*) FROM actions")
    (count,) = row.values()
    if not isinstance(count, int):
        raise TypeError(f"not a count: {row!r}")
    return count
