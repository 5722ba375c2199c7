"""Track what users do, from a Python program: it is sent to a footpath server in the background.

    with Client("http://127.0.0.1:8000") as client:
        client.track("ABC123XYZ", "XYZ456ABC", "CLICK", {"locationX": 52, "locationY": 11})

`track` checks an action as the server would and puts it into a bounded queue; it never waits, so a coroutine may call
it. One thread sends what has gathered (`sending/delivery`). While a server cannot be reached or is busy, requests are
tried again, each under one Idempotency-Key, so that nothing is stored twice; with a `spool` they wait as files, which
the next process sends if this one ends before. Without one, what is tracked lives in memory until the server has it:
a process that is killed loses that much.

What cannot be sent is told to the logger `footpath.client` and counted: see `Counts`.
"""

import asyncio
import atexit
import os
import threading
import weakref
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec.json import encode

from footpath import decode
from footpath.action import MAX_ACTIONS
from footpath.errors import BadSetting, RequestError
from footpath.sending.account import Account, Counts
from footpath.sending.connection import Connection
from footpath.sending.delivery import Delivery
from footpath.sending.spool import Spool
from footpath.sending.waiting import Tracked, Waiting

__all__ = ["Client", "Counts"]


class Client:
    """Tracks actions. One for a program; any thread may use it, and so may a process that is forked from this one."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        together: int = 500,
        interval: float = 1.0,
        queue: int = 100_000,
        spool: str | Path | None = None,
        spool_bytes: int = 100 << 20,
        timeout: float = 10.0,
    ) -> None:
        """Prepare to send; the thread starts with the first action, or at once if the spool holds something.

        Args:
            url: the server's address, like http://127.0.0.1:8000.
            key: a key with the role write, if the server asks for keys.
            together: send as soon as so many actions wait.
            interval: send when an action has waited for so many seconds.
            queue: actions that may wait in memory; further ones are dropped.
            spool: a folder for what the server does not take just now; processes may share it.
            spool_bytes: the most that the spool may hold.
            timeout: seconds without an answer after which an attempt has failed.

        Raises:
            BadSetting: the address, the key, the spool or a number cannot be used.
        """
        if not 1 <= together <= MAX_ACTIONS or queue < together or interval <= 0 or timeout <= 0:
            raise BadSetting(
                f"together must be 1 to {MAX_ACTIONS}, queue at least that, interval and timeout more than 0"
            )
        self._connect = partial(Connection, url, key, timeout)
        self._url = self._connect().url
        self._together, self._interval, self._queue = together, interval, queue
        self._open_spool = None if spool is None else partial(Spool, Path(spool), spool_bytes)
        self._closed = False
        self._begin()
        if self._spool is not None and self._spool.holds():
            self._start()
        _clients.add(self)

    def __repr__(self) -> str:
        """Without the key."""
        return f"Client({self._url!r})"

    def __enter__(self) -> Self:
        """Nothing is to be done."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """See `close`."""
        self.close()

    async def __aenter__(self) -> Self:
        """Nothing is to be done."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        """See `close`; the event loop runs on meanwhile."""
        await asyncio.to_thread(self.close)

    @property
    def counts(self) -> Counts:
        """What became of the actions so far."""
        return self._account.counts(len(self._waiting))

    def track(
        self,
        user_id: str,
        session_id: str,
        type: str,  # noqa: A002 - the name on the wire
        properties: dict[str, Any] | None = None,
        *,
        time: datetime | None = None,
        id: str | None = None,  # noqa: A002
    ) -> bool:
        """Have an action sent. Does not wait.

        Args:
            user_id: 1 to 256 characters.
            session_id: likewise.
            type: CLICK, VIEW or NAVIGATE, in any case.
            properties: what msgspec can write as JSON; written now, so it may be changed afterwards.
            time: when it was done, with its offset; now by default.
            id: if the same action may be tracked twice, what to know it by.

        Returns:
            Whether there was room for it in the queue.

        Raises:
            ValueError: the server would refuse it; the message says why.
            TypeError: a property cannot be written as JSON.
            RuntimeError: the client is closed.
        """
        if self._closed:
            raise RuntimeError("this client is closed; make another")
        action = {"time": time or datetime.now(UTC), "type": type, "properties": properties or {}}
        if id is not None:
            action["id"] = id
        try:
            checked = decode.read(encode({"userId": user_id, "sessionId": session_id, "actions": [action]}))
        except RequestError as error:
            raise ValueError(str(error)) from error
        if checked.rejects:
            raise ValueError(checked.rejects[0].message)
        self._account.add(tracked=1)
        if self._thread is None:
            self._start()
        if self._waiting.put(Tracked(user_id, session_id, checked.entries[0].actions[1:-1]), self._together):
            return True
        self._account.drop(1, f"{self._queue} actions wait already")
        return False

    def flush(self, timeout: float = 30.0) -> bool:
        """Send now; whether all that was tracked before is settled within so many seconds.

        Settled is what the server answered for, what is in the spool, and what was dropped: see `counts`.
        """
        return self._waiting.until_settled(timeout)

    async def flushed(self, timeout: float = 30.0) -> bool:  # noqa: ASYNC109 - as `flush` has it
        """As `flush`, for a coroutine."""
        return await asyncio.to_thread(self.flush, timeout)

    def close(self) -> None:
        """Send what waits, for a few seconds; then spool it, or drop it and say so. Closing again does nothing."""
        self._closed = True
        self._waiting.close()
        if self._thread is not None:
            self._thread.join()
        _clients.discard(self)

    def _begin(self) -> None:
        """An empty queue and no thread: what a client begins with, and begins with anew in a forked process."""
        self._waiting = Waiting(self._queue)
        self._account = Account()
        self._spool = None if self._open_spool is None else self._open_spool()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                delivery = Delivery(self._connect, self._waiting, self._account, self._spool)
                run = threading.Thread(
                    target=delivery.run, args=(self._together, self._interval), name="footpath-client", daemon=True
                )
                run.start()
                self._thread = run


_clients: "weakref.WeakSet[Client]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for client in list(_clients):
        client.close()


def _begin_all() -> None:
    for client in list(_clients):
        client._begin()  # noqa: SLF001 - of this module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all)
