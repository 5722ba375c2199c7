"""Found rows -> the bytes of an answer, in each of the formats, as a stream.

json      the form that was submitted: an array of batches; what comes out can be posted again
ndjson    one JSON object an action, a line each
csv       one line an action, with a header; a cell that a spreadsheet would take for a formula gets a ' in front
arrow     an Arrow IPC stream with the columns of a part
parquet   one Parquet file with the columns of a part, written to a temporary folder first
"""

import contextlib
import csv
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import nanoarrow
from msgspec import structs
from msgspec.json import encode
from nanoarrow._utils import NanoarrowException
from nanoarrow.c_array_stream import CArrayStream
from nanoarrow.ipc import StreamWriter

from footpath.errors import ReadFailed
from footpath.find.base import Find, Shape
from footpath.query import Position, Query, cursor
from footpath.store.parquet import pattern, quote, scan

PAGE_BYTES = 8 << 20  # a page ends early at this size, so that 10,000 huge actions are not put together in memory
CSV_HEADER = ("userId", "sessionId", "time", "type", "properties", "id", "seq", "receivedAt")
_COPY_STEP = 1 << 18
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last are of full width
_WRITER: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "256MB",
    "preserve_insertion_order": False,
}
_AS_PARQUET = "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE_BYTES '16MB')"  # 100,000 usual actions

Rows = Iterable[list[tuple[Any, ...]]]


class Page(NamedTuple):
    """One page of a limited answer, and the cursor of the next; None if this is the last."""

    body: bytes
    next_cursor: str | None


def stream(find: Find, query: Query, form: str) -> Iterator[bytes]:
    """The whole answer to a query without limit, piece by piece.

    Args:
        find: where to look.
        query: what is asked for.
        form: json, ndjson, csv, arrow or parquet.
    """
    if form == "arrow":
        return _arrow(find.columns(query))
    if form == "parquet":
        return _parquet(find.columns(query))
    shape, write = _TEXT[form]
    return write(find.rows(query, shape).rows)


def page(find: Find, query: Query, form: str) -> Page:
    """One page of a query with a limit.

    One action more than the limit is looked for: if it is there, there is a next page.
    """
    if query.limit is None:
        raise ValueError("a page needs a limit")
    shape, write = _TEXT.get(form, _TEXT["ndjson"])
    last_seq, chunks = find.rows(structs.replace(query, limit=query.limit + 1), shape)
    last_seq = last_seq if query.last_seq is None else query.last_seq
    taken: list[tuple[Any, ...]] = []
    size = 0
    next_cursor = None
    for row in chain.from_iterable(chunks):
        if len(taken) == query.limit or size > PAGE_BYTES:
            next_cursor = cursor(query, Position(*taken[-1][-2:]), last_seq)
            break
        taken.append(row)
        size += sum([len(value) for value in row if isinstance(value, str)])
    if form in _TEXT:
        rows = [row[:-2] for row in taken]
        body = write([_together(rows) if shape is Shape.PATHS else rows])
    else:
        until = Position(*taken[-1][-2:]) if taken else query.after
        body = stream(find, structs.replace(query, limit=None, until=until, last_seq=last_seq), form)
    return Page(b"".join(body), next_cursor)


def _together(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows of a page with those of one session side by side, sessions in the order of their first row."""
    sessions: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for row in rows:
        sessions.setdefault(row[:2], []).append(row)
    return list(chain.from_iterable(sessions.values()))


def _batches(chunks: Rows) -> Iterator[bytes]:
    """PATHS rows as a JSON array of batches; rows of one session must stand together."""
    opening = "["
    session: tuple[str, str] | None = None
    for rows in chunks:
        pieces = []
        for key, group in groupby(rows, key=itemgetter(0, 1)):
            if key != session:
                user_id, session_id = (encode(part).decode() for part in key)
                pieces.append(f'{opening}{{"userId":{user_id},"sessionId":{session_id},"actions":[')
                opening = "]},"
                session = key
            else:
                pieces.append(",")
            pieces.append(",".join([row[2] for row in group]))
        yield "".join(pieces).encode()
    yield b"[]" if session is None else b"]}]"


def _lines(chunks: Rows) -> Iterator[bytes]:
    for rows in chunks:
        if rows:
            yield ("\n".join([row[0] for row in rows]) + "\n").encode()


def _csv(chunks: Rows) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(CSV_HEADER)
    for rows in chunks:
        writer.writerows([[_cell(value) for value in row] for row in rows])
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()


def _cell(value: object) -> object:
    """A value that no spreadsheet runs as a formula (owasp.org/www-community/attacks/CSV_Injection)."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _arrow(streams: Iterator[Any]) -> Iterator[bytes]:
    buffer = io.BytesIO()
    with _reading(), StreamWriter.from_writable(buffer) as writer:
        for piece in streams:
            source = nanoarrow.ArrayStream(piece)
            writer.write_stream(CArrayStream.from_c_arrays([], nanoarrow.c_schema(source.schema)), write_schema=None)
            for array in source:
                writer.write_array(array)
                yield buffer.getvalue()
                buffer.seek(0)
                buffer.truncate()
    yield buffer.getvalue()


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """What fails in the middle of a stream of columns, as footpath says it: to Arrow it is one error like another."""
    try:
        yield
    except (NanoarrowException, duckdb.Error) as error:
        raise ReadFailed(
            f"the read ended early ({type(error).__name__}): it took too long, or the stored actions are damaged"
        ) from error


def _parquet(streams: Iterator[Any]) -> Iterator[bytes]:
    with tempfile.TemporaryDirectory(prefix="footpath-") as folder:
        path = Path(folder) / "answer.parquet"
        with _reading():
            write_parquet(streams, path)
        with path.open("rb") as file:
            while piece := file.read(_COPY_STEP):
                yield piece


class _Stream:
    """Shows DuckDB only the Arrow stream of an object: it refuses a relation of another connection otherwise."""

    def __init__(self, source: Any) -> None:
        self.__arrow_c_stream__ = source.__arrow_c_stream__


def write_parquet(streams: Iterator[Any], path: Path) -> None:
    """Write Arrow streams of one schema, one after the other, as one Parquet file; in the memory of one of them.

    The engine bounds a row group by bytes only when it need not keep the order; its one thread keeps it all the same.
    """
    pieces = []
    with contextlib.closing(duckdb.connect(":memory:", config=_WRITER)) as engine:
        for place, source in enumerate(streams):
            piece = path.with_name(f"{path.name}.{place}")
            engine.register("piece", _Stream(source))
            engine.execute(f"COPY (FROM piece) TO {quote(str(piece))} {_AS_PARQUET}")
            engine.unregister("piece")
            pieces.append(piece)
        if len(pieces) == 1:
            pieces[0].replace(path)
            return
        engine.execute(
            f"COPY (FROM {scan('$pieces')}) TO {quote(str(path))} {_AS_PARQUET}",
            {"pieces": [pattern(piece) for piece in pieces]},
        )
        for piece in pieces:
            piece.unlink()


_TEXT: dict[str, tuple[Shape, Callable[[Rows], Iterator[bytes]]]] = {
    "json": (Shape.PATHS, _batches),
    "ndjson": (Shape.LINES, _lines),
    "csv": (Shape.CELLS, _csv),
}
