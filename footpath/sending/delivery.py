"""The thread of a client: what waits -> requests -> the server, or the spool until the server takes them.

Each request is tried until the server has answered for good, with pauses that grow to `LONGEST_WAIT` and differ from
client to client. While a pause lasts, new requests go to the spool at once, if there is one and it has room.
"""

import http.client
import random
import time
import uuid
from collections.abc import Callable
from itertools import groupby

from msgspec.json import encode

from footpath.errors import CommandFailed
from footpath.sending.account import Account, log
from footpath.sending.connection import LATER, Connection, Response, answer_of
from footpath.sending.spool import Spool, Spooled
from footpath.sending.waiting import Tracked, Waiting

MAX_BYTES = 1 << 20  # of a request: a fifth of what the server takes
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # s between two attempts
CLOSING_SECONDS = 5.0  # how long the server is waited for when the client closes
_REFUSED_KEY = {401, 403}  # a person can mend that, so the spool keeps the request


class Delivery:
    """Sends what waits, in one thread."""

    def __init__(
        self, connect: Callable[[], Connection], waiting: Waiting, account: Account, spool: Spool | None
    ) -> None:
        """Prepare; nothing is sent before `run`."""
        self._connection = connect()
        self._waiting, self._account, self._spool = waiting, account, spool
        self._url = self._connection.url
        self._down_until = 0.0
        self._pause = FIRST_WAIT
        self._closing_until: float | None = None

    def run(self, together: int, interval: float) -> None:
        """Send until the queue is closed and empty."""
        while True:
            taken = self._waiting.take(together, interval, MAX_BYTES)
            if taken:
                self._send(taken)
                self._waiting.settle(len(taken))
            elif self._waiting.closing.is_set():
                break
            if self._spool is not None and time.monotonic() >= self._down_until:
                self._send_spooled(self._spool)
        self._connection.close()

    def _send(self, taken: list[Tracked]) -> None:
        body, key = body_of(taken), uuid.uuid4().hex
        while True:
            if self._spool is None or time.monotonic() >= self._down_until:
                response, trouble = self._try(body, key)
                if response is not None:
                    self._answered(response, len(taken))
                    return
                log.warning("%s does not take requests now (%s)", self._url, trouble)
            if self._spool is not None and self._put_aside(self._spool, body, len(taken), key):
                return
            if not self._wait():
                self._account.drop(len(taken), "the program ended before the server took them")
                return

    def _wait(self) -> bool:
        """Wait until the next attempt; False if the client closes before."""
        if not self._waiting.closing.wait(self._down_until - time.monotonic()):
            return True
        if self._closing_until is None:
            self._closing_until = time.monotonic() + CLOSING_SECONDS
        self._down_until = min(self._down_until, time.monotonic() + FIRST_WAIT)
        if self._down_until > self._closing_until:
            return False
        time.sleep(max(0.0, self._down_until - time.monotonic()))
        return True

    def _try(self, body: bytes, key: str) -> tuple[Response | None, str]:
        """One attempt: what the server said for good, or None and why it is to be tried later."""
        try:
            response = self._connection.post(body, key)
        except (OSError, http.client.HTTPException) as error:
            trouble, wait = f"{type(error).__name__}: {error}", 0.0
        else:
            refused_key = self._spool is not None and response.status in _REFUSED_KEY
            if response.status not in LATER and not refused_key:
                self._pause, self._down_until = FIRST_WAIT, 0.0
                return response, ""
            trouble, wait = response.sentence, response.retry_after
        pause = max(wait, self._pause * random.uniform(0.5, 1.0))  # noqa: S311 - so that many clients come apart
        self._down_until = time.monotonic() + pause
        self._pause = min(self._pause * 2, LONGEST_WAIT)
        return None, trouble

    def _answered(self, response: Response, number: int) -> None:
        try:
            answer = answer_of(response, self._url)
        except CommandFailed as error:
            self._account.drop(number, str(error))
            return
        for reject in answer.rejected[:5]:
            log.warning("%s rejected an action, %s: %s", self._url, reject.code, reject.message)
        self._account.add(accepted=answer.accepted, duplicates=answer.duplicates, rejected=len(answer.rejected))

    def _put_aside(self, spool: Spool, body: bytes, number: int, key: str) -> bool:
        """Put a request into the spool; whether it is there."""
        try:
            is_there = spool.put(body, number, key)
        except OSError as error:
            log.error("cannot write to the spool: %s", error.strerror or error)
            return False
        if is_there:
            self._account.add(spooled=number)
        else:
            log.warning("the spool is full: actions wait in memory")
        return is_there

    def _send_spooled(self, spool: Spool) -> None:
        """Send what waits as files, until the server does not take it or the client closes."""
        with spool.sending() as requests:
            for spooled in requests:
                if self._waiting.closing.is_set():
                    return
                response, trouble = self._try(spooled.file.read_bytes(), spooled.key)
                if response is None:
                    log.warning("%s does not take spooled requests now (%s)", self._url, trouble)
                    return
                self._settle(spool, spooled, response)

    def _settle(self, spool: Spool, spooled: Spooled, response: Response) -> None:
        if response.status == 200:
            self._answered(response, spooled.number)
            spool.done(spooled)
        else:
            aside = spool.refused(spooled)
            self._account.drop(spooled.number, f"{response.sentence}; the request is kept as {aside}")


def body_of(taken: list[Tracked]) -> bytes:
    """The request that holds these actions: one batch for those of a user and session that follow each other."""
    batches = [
        b'{"userId":%b,"sessionId":%b,"actions":[%b]}'
        % (encode(user), encode(session), b",".join([tracked.action for tracked in group]))
        for (user, session), group in groupby(taken, key=lambda tracked: tracked[:2])
    ]
    return b"[%b]" % b",".join(batches)
