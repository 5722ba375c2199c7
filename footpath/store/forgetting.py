"""What was asked to be forgotten: the order for it, its tombstone, and its receipt.

An order is a row that the keeper finds (`footpath.keeper.forget` does the work) and finishes also after a crash. Order
and tombstone are one transaction, so from then on nothing of the user is taken in (unless they may return), and what
is to go is what has a seq up to `last_seq`. The row names the user until nothing else does; then it is emptied, and is
the receipt, which names nobody.
"""

import threading
import time
from pathlib import Path
from typing import NamedTuple, Protocol

import apsw
from msgspec import Struct

from footpath import database
from footpath.action import digest_of
from footpath.errors import ForgetFailed
from footpath.query import rfc3339

DAY = 86_400_000_000  # microseconds
KEPT_RECEIPT = DAY  # for whoever asked and has not looked yet


class Asked(NamedTuple):
    """An order: its number, and the end of the tombstone in microseconds (None if there is none)."""

    number: int
    until: int | None


class Order(NamedTuple):
    """An order as the keeper sees it: whom (None: only their traces are left), before when, up to which seq."""

    number: int
    user_id: str | None
    before: int | None
    last_seq: int
    asked_at: int
    counted: bool


class Receipt(NamedTuple):
    """How much of each was there and is gone; `parts` were written anew."""

    actions: int
    parts: int
    rejects: int
    action_ids: int


class Forgotten(Struct):
    """A receipt as it is told. `until` is when the user can be taken in again, None for at once."""

    userId: str  # noqa: N815 - the name on the wire
    actions: int
    partsRewritten: int  # noqa: N815
    rejects: int
    actionIds: int  # noqa: N815
    until: str | None


def told(user_id: str, asked: Asked, receipt: Receipt) -> Forgotten:
    """The receipt of an order for a user."""
    return Forgotten(user_id, *receipt, None if asked.until is None else rfc3339(asked.until))


class Forget(Protocol):
    """Takes orders to forget, and tells when they are done. Any thread may use it."""

    def ask(self, user_id: str, *, before: int | None, refuse_days: float | None) -> Asked:
        """Order that a user be forgotten; see `ask` for what is given.

        Raises:
            ForgetFailed: the order could not be kept.
        """
        ...

    def receipt(self, number: int) -> Receipt | None:
        """The receipt of an order; None if it is not done yet.

        Raises:
            ForgetFailed: something was in the way.
        """
        ...


class LocalForget:
    """Asks in a data folder. Any thread may use it."""

    def __init__(self, folder: Path) -> None:
        """Open a folder that `database.prepare` has seen."""
        self._connection = database.connect(folder)
        self._lock = threading.Lock()

    def ask(self, user_id: str, *, before: int | None, refuse_days: float | None) -> Asked:
        """See `ask`.

        Raises:
            ForgetFailed: the order could not be kept.
        """
        try:
            with self._lock:
                return ask(self._connection, user_id, before=before, refuse_days=refuse_days)
        except apsw.Error as error:
            raise ForgetFailed(f"nothing was removed: the order could not be kept: {error}") from error

    def receipt(self, number: int) -> Receipt | None:
        """See `receipt`."""
        with self._lock:
            return receipt(self._connection, number)

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()


def ask(connection: apsw.Connection, user_id: str, *, before: int | None, refuse_days: float | None) -> Asked:
    """Order that a user be forgotten.

    Args:
        connection: to the database.
        user_id: whom.
        before: only what has a time before this one, in microseconds; there is no tombstone then.
        refuse_days: for how long what comes for them later is refused; None lifts an earlier tombstone, too.
    """
    now = time.time_ns() // 1000
    until: int | None = None
    with database.write(connection):
        if before is None:
            digest = digest_of(user_id)
            if refuse_days is None:
                connection.execute("DELETE FROM forgotten WHERE digest = ?", (digest,))
            else:
                (until,) = database.one(
                    connection,
                    "INSERT INTO forgotten VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
                    " SET at = excluded.at, until = max(until, excluded.until) RETURNING until",
                    (digest, now, now + round(refuse_days * DAY)),
                )
            connection.execute("UPDATE state SET forgotten_version = forgotten_version + 1")
        (number,) = database.one(
            connection,
            "INSERT INTO forgetting (user_id, before, last_seq, asked_at) SELECT ?, ?, seq, ? FROM state RETURNING id",
            (user_id, before, now),
        )
    return Asked(number, until)


def next_order(connection: apsw.Connection) -> Order | None:
    """The oldest order that is not done; those that met something before come last."""
    found = next(
        iter(
            connection.execute(
                "SELECT id, user_id, before, last_seq, asked_at, actions IS NOT NULL FROM forgetting"
                " WHERE done_at IS NULL ORDER BY trouble IS NOT NULL, id LIMIT 1"
            )
        ),
        None,
    )
    return None if found is None else Order(*found)


def receipt(connection: apsw.Connection, number: int) -> Receipt | None:
    """The receipt of an order; None if it is not done yet.

    Raises:
        ForgetFailed: the keeper met something; it will try again.
    """
    actions, parts, rejects, action_ids, done_at, trouble = database.one(
        connection,
        "SELECT actions, parts, rejects, action_ids, done_at, trouble FROM forgetting WHERE id = ?",
        (number,),
    )
    if done_at is not None:
        return Receipt(actions, parts, rejects, action_ids)
    if trouble is not None:
        raise ForgetFailed(f"not everything could be removed yet: {trouble}; it is tried again until it is done")
    return None


def fail(connection: apsw.Connection, order: Order, trouble: str) -> None:
    """Note why an order could not be done yet."""
    with database.write(connection):
        connection.execute("UPDATE forgetting SET trouble = ? WHERE id = ?", (trouble, order.number))


def tidy(connection: apsw.Connection) -> None:
    """Drop old receipts, and tombstones that are over."""
    now = time.time_ns() // 1000
    (receipts, over) = database.one(
        connection,
        "SELECT EXISTS (SELECT 1 FROM forgetting WHERE done_at < ?), EXISTS (SELECT 1 FROM forgotten WHERE until < ?)",
        (now - KEPT_RECEIPT, now),
    )
    if receipts or over:
        with database.write(connection):
            connection.execute("DELETE FROM forgetting WHERE done_at < ?", (now - KEPT_RECEIPT,))
            connection.execute("DELETE FROM forgotten WHERE until < ?", (now,))
            connection.execute("UPDATE state SET forgotten_version = forgotten_version + 1")
