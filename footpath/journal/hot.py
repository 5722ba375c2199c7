"""Hot rows: what is in the journal and not yet in parts, read out of an open transaction.

Both a find and a flush take them from here, so that they agree on which rows are hot.
"""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import apsw
import zstandard
from msgspec import MsgspecError

from footpath.errors import ReadFailed
from footpath.journal.index import UserIndex

READ_BYTES = 4 << 20  # of JSON that a read holds at once: parsing it takes up to 80 MB, and several reads run
MAX_BYTES = 16 << 20  # of JSON in a flush: 150,000 usual actions; parsing and sorting it takes up to 300 MB
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # a JSON array starts with [


class HotRows(NamedTuple):
    """Journal rows as five lists of one length, a batch at each place; `actions` holds JSON arrays as text."""

    user_ids: list[str]
    session_ids: list[str]
    actions: list[str]
    seqs: list[int]
    received_at: list[int]


def matching(connection: apsw.Connection, *, user_id: str | None = None, index: UserIndex | None = None) -> HotRows:
    """The hot rows of a user, or all of them, at once: see `pieces`."""
    found = list(pieces(connection, user_id=user_id, index=index))
    return HotRows(
        [one for piece in found for one in piece.user_ids],
        [one for piece in found for one in piece.session_ids],
        [one for piece in found for one in piece.actions],
        [one for piece in found for one in piece.seqs],
        [one for piece in found for one in piece.received_at],
    )


def pieces(
    connection: apsw.Connection,
    *,
    user_id: str | None = None,
    index: UserIndex | None = None,
    session_id: str | None = None,
    time_from: int | None = None,
    time_to: int | None = None,
    types: int = 0,
    seqs: tuple[int | None, int | None] = (None, None),
) -> Iterator[HotRows]:
    """The hot rows that may hold matching actions, `READ_BYTES` and a row at a time; nothing if there are none.

    Their actions are still to be filtered one by one. With an `index` a user's rows are looked up; without, all hot
    rows are looked through: 0.2 us each. `seqs` are one that comes before all that is wanted, and the last that is.
    """
    conditions = ["seq > (SELECT flushed FROM state)"]
    bindings: list[str | int] = []
    if user_id is not None and index is not None:
        conditions.append("seq IN (SELECT value FROM json_each(?))")
        bindings.append(json.dumps(index.rows_of(connection, user_id)))
    for condition, value in (
        ("user_id = ?", user_id),
        ("session_id = ?", session_id),
        ("time_max >= ?", time_from),
        ("time_min <= ?", time_to),
        ("types & ? != 0", types or None),
        ("seq + count - 1 > ?", seqs[0]),
        ("seq <= ?", seqs[1]),
    ):
        if value is not None:
            conditions.append(condition)
            bindings.append(value)
    hot = HotRows([], [], [], [], [])
    size = 0
    decompress = zstandard.ZstdDecompressor().decompress
    rows = connection.execute(
        "SELECT user_id, session_id, actions, seq, received_at FROM journal"
        f" WHERE {' AND '.join(conditions)} ORDER BY seq",
        tuple(bindings),
    )
    with legible():
        for row in rows:
            _unpack(hot, row, decompress)
            size += len(hot.actions[-1])
            if size >= READ_BYTES:
                yield hot
                hot = HotRows([], [], [], [], [])
                size = 0
    if hot.seqs:
        yield hot


def oldest(connection: apsw.Connection, max_actions: int, max_bytes: int | None = None) -> tuple[HotRows, int]:
    """The oldest hot rows and the highest seq of an action in them (0 if none).

    They are `max_actions` or a little more; fewer, but at least one row, where those would be over `max_bytes`,
    which is `MAX_BYTES` if not given.
    """
    max_bytes = MAX_BYTES if max_bytes is None else max_bytes
    actions = last = size = 0
    hot = HotRows([], [], [], [], [])
    decompress = zstandard.ZstdDecompressor().decompress
    rows = connection.execute(
        "SELECT user_id, session_id, actions, seq, received_at, count FROM journal"
        " WHERE seq > (SELECT flushed FROM state) ORDER BY seq"
    )
    with legible():
        for row in rows:
            _unpack(hot, row[:5], decompress)
            size += len(hot.actions[-1])
            if size > max_bytes and len(hot.seqs) > 1:
                for values in (hot.user_ids, hot.session_ids, hot.actions, hot.seqs, hot.received_at):
                    values.pop()
                break
            actions += row[5]
            last = row[3] + row[5] - 1
            if actions >= max_actions or size >= max_bytes:
                break
    return hot, last


@contextlib.contextmanager
def legible() -> Iterator[None]:
    """Reading of the journal: SQLite has no checksums, so what it gives need not be what was written.

    Raises:
        ReadFailed: a row is damaged, and shows it.
    """
    try:
        yield
    except (UnicodeDecodeError, zstandard.ZstdError, MsgspecError) as error:
        raise ReadFailed(
            f"a row of the journal is damaged ({type(error).__name__}); `footpath check` names it"
        ) from error


def _unpack(hot: HotRows, row: tuple[Any, ...], decompress: Callable[[bytes], bytes]) -> None:
    user_id, session_id, actions, seq, received_at = row
    hot.user_ids.append(user_id)
    hot.session_ids.append(session_id)
    hot.actions.append(unpacked(actions, decompress).decode())
    hot.seqs.append(seq)
    hot.received_at.append(received_at)


def unpacked(actions: bytes, decompress: Callable[[bytes], bytes]) -> bytes:
    """The JSON array of a row's actions."""
    return decompress(actions) if actions[:4] == _ZSTD_MAGIC else actions
