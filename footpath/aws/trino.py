"""Statements on a Trino, over its HTTP API (trino.io/docs/current/develop/client-protocol.html).

A statement is POSTed as `EXECUTE IMMEDIATE '…' USING …`: the values stand beside it as literals, never in its text.
Trino answers page by page, each with the address of the next; a page is fetched when it is asked for, so an answer of
any length is held page by page, and asking for none makes Trino wait. Closing early cancels the statement there.

Leaves out: spooled results and OAuth. A password (`FOOTPATH_TRINO_PASSWORD`) is only sent over TLS.
"""

import base64
import contextlib
import http.client
import os
import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog
from msgspec import MsgspecError, Struct, field
from msgspec.json import decode

from footpath.aws.address import TrinoAddress
from footpath.aws.engine import CONFLICTS, Begun, Conflict, Row, next_step
from footpath.aws.literal import literal, quoted
from footpath.errors import BadSetting, ReadFailed
from footpath.find import asker
from footpath.find.sql import Statement, identifier

PASSWORD = "FOOTPATH_TRINO_PASSWORD"  # noqa: S105 - the name of the variable
CHUNK_ROWS = 5_000  # given on at once, out of a page: half a megabyte of text
ANSWER_SECONDS = 60.0  # for one HTTP answer: Trino holds one back for a second when it has nothing to say
TRIES = 10  # while a proxy before Trino says 502, 503 or 504, or Trino 429
_WAIT_SECONDS = 0.1  # between them, as the protocol has it
_PASSING = frozenset((429, 502, 503, 504))
_PLANNED = frozenset(("RUNNING", "FINISHING", "FINISHED"))

_log = structlog.get_logger()


class _Failure(Struct):
    message: str = ""
    errorName: str = ""  # noqa: N815 - the name on the wire


class _Stats(Struct):
    state: str = ""
    physicalInputBytes: int = 0  # noqa: N815
    elapsedTimeMillis: int = 0  # noqa: N815


class _Page(Struct):
    id: str
    nextUri: str | None = None  # noqa: N815
    data: list[list[Any]] = field(default_factory=list)
    error: _Failure | None = None
    stats: _Stats = field(default_factory=_Stats)


class Trino:
    """An Engine over one table of a Trino."""

    def __init__(self, address: TrinoAddress, *, read_seconds: float = 900.0) -> None:
        """Connect to nothing yet; a statement may take `read_seconds`.

        Raises:
            BadSetting: there is a password, but no TLS to send it over.
        """
        self._address = address
        self._read_seconds = read_seconds
        self._server = f"Trino at {address.host}:{address.port}"
        self._where = f"{address.catalog}.{address.schema}.{address.table}"
        self._headers = {
            "X-Trino-User": address.user,
            "X-Trino-Source": "footpath",
            "X-Trino-Catalog": address.catalog,
            "X-Trino-Schema": address.schema,
            "X-Trino-Time-Zone": "UTC",
            "X-Trino-Session": f"query_max_run_time={max(1, round(read_seconds))}s",
        }
        password = os.environ.get(PASSWORD)
        if password is not None:
            if not address.tls:
                raise BadSetting(f"{PASSWORD} is set, and is only sent over TLS: add ?tls=true to --find, or unset it")
            text = base64.b64encode(f"{address.user}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {text}"

    @property
    def table(self) -> str:
        """See `Engine.table`."""
        return identifier(self._address.table)

    def begin(self, statement: Statement) -> Begun:
        """See `Engine.begin`."""
        rows = self._rows(statement)
        next(rows)
        return Begun(rows)

    def change(self, statement: Statement) -> None:
        """See `Engine.change`."""
        with contextlib.closing(_Session(self, statement)) as session:
            for _ in session.pages():
                pass

    def properties(self) -> Mapping[str, str]:
        """See `Engine.properties`."""
        of_table = identifier(f"{self._address.table}$properties")
        statement = Statement(f"SELECT key, value FROM {of_table} WHERE key LIKE 'footpath.%'", ())
        with contextlib.closing(_Session(self, statement)) as session:
            return {key: value for page in session.pages() for key, value in page.data}

    def _rows(self, statement: Statement) -> Generator[list[Row]]:
        """First nothing, when the statement is planned and so sees no change any more; then chunks."""
        with contextlib.closing(_Session(self, statement)) as session:
            pages = session.pages()
            early = []
            for page in pages:
                early.append(page)
                if page.data or page.stats.state in _PLANNED:
                    break
            yield []
            for page in early:
                yield from _chunks(page.data)
            early.clear()
            for page in pages:
                yield from _chunks(page.data)
            session.tell()

    def connect(self) -> http.client.HTTPConnection:
        """A connection for one statement."""
        kind = http.client.HTTPSConnection if self._address.tls else http.client.HTTPConnection
        return kind(self._address.host, self._address.port, timeout=ANSWER_SECONDS)

    @property
    def headers(self) -> Mapping[str, str]:
        """What goes with each request."""
        return self._headers

    @property
    def read_seconds(self) -> float:
        """How long a statement may take."""
        return self._read_seconds

    def failed(self, error: _Failure) -> ReadFailed:
        """What Trino says, as footpath says it."""
        told = error.message.splitlines()[0][:300] if error.message else "it gives no reason"
        kind = Conflict if error.errorName in CONFLICTS else ReadFailed
        return kind(f"{self._where} could not be read ({error.errorName}: {told}); {next_step(error.errorName)}")

    def unreachable(self, error: Exception) -> ReadFailed:
        """Nothing, or nothing that makes sense, answers there."""
        return ReadFailed(
            f"{self._server} does not answer ({type(error).__name__}: {error}); start it, or name another in --find"
        )

    def refused(self, status: int, content: bytes) -> ReadFailed:
        """It answers with another status than 200."""
        if status in {401, 403}:
            return ReadFailed(
                f"{self._server} refuses footpath ({status}): set {PASSWORD}, with ?user=…&tls=true in --find"
            )
        told = content[:200].decode("utf-8", "replace").strip()
        return ReadFailed(
            f"{self._server} answers {status} ({told}); is it a Trino, and can it be reached without a proxy?"
        )


class _Session:
    """One statement on its way, over a connection of its own."""

    def __init__(self, trino: Trino, statement: Statement) -> None:
        self._trino = trino
        self._connection = trino.connect()
        self._deadline = time.monotonic() + trino.read_seconds
        self._next: str | None = None
        self._last: _Page | None = None
        self._rows = 0
        self._body = immediate(statement).encode()

    def pages(self) -> Iterator[_Page]:
        """Each page of the answer."""
        page = self._ask("POST", "/v1/statement", self._body)
        while True:
            self._next = None if page.nextUri is None else _path(page.nextUri)
            if page.error is not None:
                raise self._trino.failed(page.error)
            self._rows += len(page.data)
            self._last = page
            yield page
            if self._next is None:
                return
            page = self._ask("GET", self._next)

    def tell(self) -> None:
        """Log what the statement took."""
        if self._last is not None:
            stats = self._last.stats
            seconds, scanned = stats.elapsedTimeMillis / 1000, stats.physicalInputBytes
            _log.info("trino read", query=self._last.id, rows=self._rows, bytes=scanned, seconds=seconds)

    def close(self) -> None:
        """Cancel what has not ended. That it cannot be said to Trino is no failure: it ends what nobody fetches."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            if self._next is not None:
                self._connection.close()  # an answer may be half read
                self._connection.request("DELETE", self._next, headers=self._trino.headers)
                self._connection.getresponse().read()
        self._connection.close()

    def _ask(self, method: str, path: str, body: bytes | None = None) -> _Page:
        for attempt in range(1, TRIES + 1):
            asker.current().make_sure()
            if time.monotonic() > self._deadline:
                seconds = self._trino.read_seconds
                raise ReadFailed(f"the read took longer than {seconds:g} s; ask for less, or page with limit")
            try:
                self._connection.request(method, path, body, dict(self._trino.headers))
                answer = self._connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                raise self._trino.unreachable(error) from error
            if answer.status not in _PASSING or attempt == TRIES:
                break
            time.sleep(_WAIT_SECONDS)
        else:
            raise AssertionError
        if answer.status != 200:
            raise self._trino.refused(answer.status, content)
        try:
            return decode(content, type=_Page)
        except MsgspecError as error:
            raise self._trino.unreachable(error) from error


def immediate(statement: Statement) -> str:
    """A statement with its values, as Trino takes it in one request."""
    using = f" USING {', '.join(literal(value) for value in statement.values)}" if statement.values else ""
    return f"EXECUTE IMMEDIATE {quoted(statement.text)}{using}"


def _path(uri: str) -> str:
    """What to ask for of the server that was asked before: a proxy between may have told Trino another name."""
    split = urlsplit(uri)
    return f"{split.path}?{split.query}" if split.query else split.path


def _chunks(data: list[list[Any]]) -> Iterator[list[Row]]:
    for start in range(0, len(data), CHUNK_ROWS):
        yield [tuple(row) for row in data[start : start + CHUNK_ROWS]]
