"""What of a group is known already: Idempotency-Keys and ids of actions, looked up and noted inside of its transaction.

An id of an action is known by a digest of 128 bits over the user's id and its own: ids of 256 characters would make the
table ten times as large. That two of a billion digests are the same has a chance of 1.5e-21 (n * n / 2**129); the later
action would then count as a duplicate. Beside it stands the first 64 bits of the user's digest, so that all ids of one
user can be found: they are neighbours, and a batch of a hundred changes one page or two. Two of a hundred million users
share those bits with a chance of 3e-4; forgetting the one then forgets the ids of both.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import apsw

from footpath import database
from footpath.action import Entry, number_of
from footpath.errors import KeyReused
from footpath.journal.base import Kept, Once
from footpath.validate import without

Rows = list[tuple[Entry, bytes]]
"""The entries of an append, each with its actions as they go into the row."""

_EARLIER = "SELECT digest, answer FROM idempotency WHERE key = ?"
_NOTES = [
    (
        rows,
        f"INSERT INTO action_ids VALUES {', '.join(['(?, ?, ?)'] * rows)} ON CONFLICT DO NOTHING RETURNING id",
    )
    for rows in (512, 128, 32, 8, 4, 2, 1)
]


def replays(connection: apsw.Connection, onces: Sequence[tuple[int, Once]]) -> dict[int, Kept | KeyReused | None]:
    """Those of a group's keys that were used before, by place; None where another of the group goes before it.

    What that one is answered is known when it has been remembered.
    """
    found: dict[int, Kept | KeyReused | None] = {}
    new: set[str] = set()
    for place, once in onces:
        if once.key in new:
            found[place] = None
            continue
        row = next(iter(connection.execute(_EARLIER, (database.key_digest(once.key),))), None)
        if row is None:
            new.add(once.key)
        else:
            found[place] = _compare(once, *row)
    return found


def remember(connection: apsw.Connection, once: Once, kept: Kept, now: int) -> Kept | KeyReused:
    """Note a key as used, with the answer to what was found; what became of the one that used it before, if any did."""
    key = database.key_digest(once.key)
    connection.execute(
        "INSERT INTO idempotency VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (key, once.digest, once.answer(kept), now),
    )
    return kept if connection.changes() else _compare(once, *database.one(connection, _EARLIER, (key,)))


def _compare(once: Once, digest: bytes, answer: bytes) -> Kept | KeyReused:
    if digest != once.digest:
        return KeyReused("this Idempotency-Key was used before with another body; use a new key for a new request")
    return Kept(earlier=bytes(answer))


def duplicates(connection: apsw.Connection, entries: Sequence[Entry], now: int) -> list[set[int]]:
    """The places of the actions of each entry whose ids are known, or came before in these entries; notes the others.

    Args:
        connection: in a transaction that writes.
        entries: in the order they came.
        now: microseconds since 1970, kept with the ids that are new.
    """
    found: list[set[int]] = [set() for _ in entries]
    first: dict[tuple[int, bytes], tuple[int, int]] = {}
    for place, entry in enumerate(entries):
        user = number_of(entry.user_id)
        for action, digest in _digests(entry):
            if first.setdefault((user, digest), (place, action)) != (place, action):
                found[place].add(action)
    keys = sorted(first)  # neighbours in the table come after each other
    start = 0
    for rows, statement in _NOTES:
        while len(keys) - start >= rows:
            chunk = keys[start : start + rows]
            start += rows
            values = [value for key in chunk for value in (*key, now)]
            noted: list[Any] = connection.execute(statement, values).fetchall()
            if len(noted) != rows:
                new = {row[0] for row in noted}
                for key in chunk:
                    if key[1] not in new:
                        place, action = first[key]
                        found[place].add(action)
    return found


def leave_out_duplicates(
    connection: apsw.Connection, rows: list[Rows], found: list[Kept], now: int, pack: Callable[[bytes], bytes]
) -> None:
    """Take the actions that are there already out of the rows of a group, and count them in what was found.

    Args:
        connection: in a transaction that writes.
        rows: of each append of the group.
        found: of each append.
        now: microseconds since 1970.
        pack: gives actions as they go into a row.
    """
    places = [(place, at) for place, item in enumerate(rows) for at, (entry, _) in enumerate(item) if entry.ids]
    twice_in = duplicates(connection, [rows[place][at][0] for place, at in places], now)
    for (place, at), twice in reversed(list(zip(places, twice_in, strict=True))):  # so that places stay as they were
        if not twice:
            continue
        found[place] = found[place]._replace(duplicates=found[place].duplicates + len(twice))
        entry, _ = rows[place][at]
        if len(twice) == entry.number:
            del rows[place][at]
        else:
            entry = without(entry, twice)
            rows[place][at] = entry, pack(entry.actions)


def _digests(entry: Entry) -> Iterator[tuple[int, bytes]]:
    begun = hashlib.sha256(entry.user_id.encode() + b"\xff")  # a byte that no UTF-8 holds parts the two
    for place, text in enumerate(entry.ids or ()):
        if text is not None:
            whole = begun.copy()
            whole.update(text.encode())
            yield place, whole.digest()[:16]
