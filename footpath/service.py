"""The only place that picks fittings; starts and stops the processes of a server.

One process serves (or `workers` of them, that uvicorn's supervisor starts and watches), and one child process is the
keeper. The keeper's standard input is a pipe that only this process holds: it ends however this process ends.
"""

import asyncio
import gc
import json
import math
import multiprocessing
import os
import shlex
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, closing, contextmanager, nullcontext
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import apsw
import structlog
import uvicorn
from filelock import FileLock, Timeout

from footpath import database, files, log, stopping
from footpath.aws.extra import needed
from footpath.config import Settings, changed, is_loopback, keep_micros, read_settings
from footpath.errors import BadSetting, FolderInUse, FolderUnusable, ReadFailed, SchemaUnknown
from footpath.find.duckdb import DuckdbFind
from footpath.find.newest import DuckdbNewest
from footpath.find.overviews import DuckdbOverviews
from footpath.journal import rejected
from footpath.journal.sqlite import SqliteJournal
from footpath.keeper.flush import due
from footpath.keeper.measure import measure
from footpath.keeper.watch import keeper
from footpath.keys.ring import Ring
from footpath.keys.source import FileKeys, KeySource, NoKeys, TableKeys
from footpath.metrics import board
from footpath.metrics.board import Place
from footpath.metrics.counts import Counts
from footpath.store.forgetting import LocalForget
from footpath.web.app import App, Fittings
from footpath.web.metrics import TABLE_AGE
from footpath.web.protocol import Protocol

SETTINGS_VARIABLE = "FOOTPATH_SERVICE_SETTINGS"  # how a worker process learns the settings of the whole server
LAGGING_SECONDS = (
    600.0  # a table this far behind its stream says that its sinks do not keep up: they commit each minute
)
BEHIND_SECONDS = 60.0  # a journal row this old says that the keeper does not keep up
SWITCH_SECONDS = 0.0005  # the journal's thread gets the interpreter's lock back this soon when the event loop is busy
GC_ALLOCATIONS = 50_000  # requests make no cycles; at Python's 700 the collector took 4 % of a one-action request

_log = structlog.get_logger()


def create_app() -> App:
    """The application of one server process; its settings come from the process that started it."""
    settings = read_settings(json.loads(os.environ[SETTINGS_VARIABLE]), environment={})
    log.configure(settings.log)
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS)
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        threading.Thread(target=stopping.end_with, args=(supervisor,), name="supervisor-watch", daemon=True).start()
    counts = Counts()
    fit = open_scale_out if settings.journal else open_embedded
    return App(lambda stack: fit(settings, stack, counts), settings, counts)


def open_embedded(settings: Settings, stack: AsyncExitStack, counts: Counts) -> Fittings:
    """SQLite journal and DuckDB find over the data folder, closed when the stack is left."""
    place = Place(settings.data, board.SERVER)
    stack.callback(place.close)
    journal = SqliteJournal(
        settings.data,
        max_actions=settings.journal_actions,
        max_waiting_bytes=settings.waiting_bytes,
        committed=counts.committed,
        max_reject_bytes=settings.reject_bytes,
    )
    stack.push_async_callback(journal.close)
    find = DuckdbFind(settings.data, memory=settings.read_memory, read_seconds=settings.read_seconds)
    stack.callback(find.close)
    keys = Ring(TableKeys(settings.data), is_private=is_loopback(settings.host))
    stack.callback(keys.close)
    forget = LocalForget(settings.data)
    stack.callback(forget.close)

    def ready() -> dict[str, str]:
        wrong = {}
        if (trouble := journal.trouble()) is not None:
            wrong["journal"] = trouble
        try:
            with find.database() as connection:
                age = due(connection).age
        except apsw.Error as error:
            wrong["database"] = f"{type(error).__name__}: {error}"
        else:
            if age > BEHIND_SECONDS:
                wrong["keeper"] = f"the oldest action in the journal has waited {age:.0f} s to be put into a part"
        return wrong

    def gauges() -> dict[str, float]:
        return _of_journal(journal.waiting_bytes, journal.trouble())

    def measured() -> dict[str, float]:
        with find.database() as connection:
            return measure(settings.data, connection)

    def rejects(chosen: rejected.Chosen, after: int, limit: int, newest: bool) -> list[rejected.KeptReject]:  # noqa: FBT001
        try:
            with find.database() as connection:
                return rejected.read(connection, chosen, after=after, limit=limit, newest=newest)
        except (apsw.Error, FolderUnusable, SchemaUnknown) as error:
            raise ReadFailed(f"the rejects could not be read: {error}") from error

    overviews, newest, refusal = DuckdbOverviews(find), DuckdbNewest(find), journal.refusal
    return Fittings(
        journal, find, ready, keys, forget, rejects, overviews, gauges, measured, place, newest=newest, refusal=refusal
    )


def open_scale_out(settings: Settings, stack: AsyncExitStack, counts: Counts) -> Fittings:
    """A journal over a stream and a find over a table, closed when the stack is left. `data` only holds the metrics.

    Raises:
        BadSetting: an address is wrong, or what it names is not there.
    """
    with needed():
        from footpath.aws.find import TableFind
        from footpath.aws.forgetting import TableForget
        from footpath.aws.kinesis import KinesisJournal
        from footpath.aws.open import catalog_and_address, engine
        from footpath.aws.overviews import TableOverviews
    from footpath.aws.address import stream_address

    place = Place(settings.data, board.SERVER)
    stack.callback(place.close)
    journal = KinesisJournal(
        stream_address(settings.journal), max_waiting_bytes=settings.waiting_bytes, committed=counts.committed
    )
    stack.push_async_callback(journal.close)
    reader = engine(settings)
    keep = keep_micros(settings.keep)
    find = TableFind(reader, oldest=lambda: None if keep is None else time.time_ns() // 1000 - keep)
    keys = Ring(_keys(settings), is_private=is_loopback(settings.host))
    stack.callback(keys.close)
    forget = TableForget(reader, *catalog_and_address(settings))
    stack.callback(forget.close)

    def age() -> float | None:
        until = find.complete_until()
        return None if until is None else time.time() - until / 1_000_000

    def ready() -> dict[str, str]:
        wrong = {}
        if (trouble := journal.trouble()) is not None:
            wrong["journal"] = trouble
        try:
            lag = age()
        except ReadFailed as error:
            wrong["table"] = str(error)
        else:
            if lag is None or lag > LAGGING_SECONDS:
                since = "no sink has read the stream yet" if lag is None else f"the table lags {lag:.0f} s behind"
                wrong["sink"] = f"{since}: start footpath sink --journal {settings.journal}, or more of them"
        return wrong

    def gauges() -> dict[str, float]:
        return _of_journal(journal.waiting_bytes, journal.trouble())

    def measured() -> dict[str, float]:
        try:
            lag = age()
        except ReadFailed:  # /readyz says why; a table that cannot be read must not take the other metrics along
            lag = None
        return {TABLE_AGE: math.inf if lag is None else lag}

    return Fittings(
        journal,
        find,
        ready,
        keys,
        forget,
        None,
        TableOverviews(find),
        gauges,
        measured,
        place,
        complete_until=find.complete_until,
        refusal=journal.refusal,
    )


def _of_journal(waiting_bytes: int, trouble: str | None) -> dict[str, float]:
    """The gauges of a journal of any kind."""
    return {"footpath_journal_waiting_bytes": waiting_bytes, "footpath_journal_failing": float(trouble is not None)}


@contextmanager
def hold(folder: Path, who: str, otherwise: str = "choose another folder with --data") -> Iterator[None]:
    """Be the one footpath of a data folder, which is made, or brought forward from an older schema.

    Args:
        folder: the data folder.
        who: what to tell another that wants it.
        otherwise: what can be done instead of stopping the one that holds it, for the message.

    Raises:
        FolderInUse: another is; the message says who.
        FolderUnusable: the folder cannot be made or written.
        SchemaUnknown: the folder is another program's, or a newer footpath's.
    """
    database.make_folder(folder)
    lock = FileLock(folder / "footpath.lock")
    note = folder / "holder.txt"
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        holder = note.read_text(encoding="utf-8") if note.exists() else "another footpath"
        raise FolderInUse(f"{folder} is held by {holder}: stop it, or {otherwise}") from error
    except OSError as error:
        raise FolderUnusable(f"cannot lock the data folder {folder}: {error.strerror or error}") from error
    try:
        database.prepare(folder)
        note.write_text(f"{who}, process {os.getpid()}", encoding="utf-8")
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        OperatorError: the folder or the address cannot be had.
    """
    log.configure(settings.log)
    files.make_room(settings.connections)
    listening = _listen(settings)
    address, port = listening.getsockname()[:2]  # the address that a name stood for: it tells who can reach it
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{port}"
    chosen = replace(settings, host=address)
    with listening, ExitStack() as stack:
        settings = stack.enter_context(_stateless(chosen) if chosen.journal else _in_folder(chosen, url))
        live = _live_keys(settings, url)
        board.clear(settings.data)
        with keeper(settings) if not settings.journal else nullcontext():
            os.environ[SETTINGS_VARIABLE] = json.dumps(asdict(settings), default=str)
            config = uvicorn.Config(
                "footpath.service:create_app",
                factory=True,
                workers=settings.workers,
                http=Protocol,
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=15,
                timeout_graceful_shutdown=stopping.GRACE_SECONDS,
            )
            server = stopping.Server(config)
            told = server.told
            with stopping.in_order(server):
                _log.info(
                    "serving",
                    url=url,
                    data=settings.journal or str(settings.data),
                    docs=f"{url}/docs",
                    keys=live,
                    version=version("footpath"),
                    settings=changed(chosen),
                )
                if live == 0:
                    _log.warning("no key is good any more: all but open pages is refused until footpath key create")
                if settings.workers == 1:
                    server.run(sockets=[listening])
                else:
                    supervisor = stopping.Supervisor(config, [listening])
                    told = supervisor.told
                    supervisor.run()
            _log.info("stopping", reason=_reason(told))
    if settings.workers == 1 and not server.started:
        raise FolderUnusable("the server could not start; see the log above")
    _log.info("stopped", reason=_reason(told))


@contextmanager
def _in_folder(settings: Settings, url: str) -> Iterator[Settings]:
    """Hold the data folder."""
    with hold(settings.data, f"footpath serve on {url}"):
        database.set_keep(settings.data, keep_micros(settings.keep))
        yield settings


@contextmanager
def _stateless(settings: Settings) -> Iterator[Settings]:
    """A folder for what the processes tell each other, gone in the end; first it is seen whether all can be opened.

    Raises:
        BadSetting: it cannot; the message says what is missing.
    """

    async def look(folder: Path) -> None:
        async with AsyncExitStack() as stack:
            fittings = open_scale_out(replace(settings, data=folder), stack, Counts())
            await asyncio.to_thread(fittings.complete_until or int)

    with tempfile.TemporaryDirectory(prefix="footpath-serve-") as name:
        folder = Path(name)
        board.clear(folder)
        try:
            asyncio.run(look(folder))
        except ReadFailed as error:
            raise BadSetting(str(error)) from error
        yield replace(settings, data=folder)


def _keys(settings: Settings) -> KeySource:
    if not settings.journal:
        return TableKeys(settings.data)
    return FileKeys(Path(settings.keys)) if settings.keys else NoKeys()


def _reason(told: list[int]) -> str:
    return signal.Signals(told[0]).name if told else "it ended by itself"


def _live_keys(settings: Settings, url: str) -> int | None:
    """How many keys of the folder are good now; None if it has never had one.

    Raises:
        BadSetting: that, and others than this machine can reach the server.
    """
    with closing(_keys(settings)) as source:
        _, keys = source.load()
    if not keys and not is_loopback(settings.host):
        if settings.journal:
            raise BadSetting(
                f"others can reach {url}, and there is no key: make some with `footpath key create --data FOLDER`,"
                " write their hashes with `footpath key export --data FOLDER > keys.ndjson`, and add --keys"
                " keys.ndjson; or leave --host away"
            )
        raise BadSetting(
            f"others can reach {url}, and there is no key: first make one that writes, with `footpath key create"
            f" --role write --name NAME --data {shlex.quote(str(settings.data))}`, and one with --role read; or leave"
            " --host away"
        )
    now = time.time_ns() // 1000
    return sum(key.state(now) == "live" for key, _ in keys) if keys else None


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        where = f"{settings.host} port {settings.port}"
        raise BadSetting(
            f"cannot listen on {where}: {error.strerror or error}; choose another with --host or --port"
        ) from error
    listening.set_inheritable(True)
    return listening
