"""A client of a running server, for the commands that send: one connection, and each request until it is taken.

A request carries an Idempotency-Key, so sending it again after a lost answer stores nothing twice. What the server
cannot take just now (503, 429) is sent again when it says so; a connection that breaks is made anew. Both are bounded
by `PATIENCE`. Leaves out proxies and redirects: the address is the server's own.
"""

import contextlib
import http.client
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from msgspec import DecodeError, Struct
from msgspec.json import decode

from footpath.action import Reject
from footpath.errors import CommandFailed

SUBMIT_PATH = "/api/submitlogs"
PATIENCE = 120.0  # seconds that one request is sent again: a restart and a full journal pass in less
TIMEOUT = 60.0  # seconds without an answer: ten times the longest commit group
_LATER = {429, 502, 503, 504}


class Answer(Struct):
    """What the server said of a request; `again` if it had kept it before and stored nothing now."""

    accepted: int
    duplicates: int
    rejected: list[Reject]
    again: bool = False


class _Response(NamedTuple):
    status: int
    retry_after: float
    again: bool
    body: bytes


class _Said(Struct):
    code: str = ""
    message: str = ""


class Client:
    """Submits to one server. Use one a thread, and close it."""

    def __init__(self, url: str, key: str | None = None) -> None:
        """Prepare to send to a server.

        Args:
            url: its address, like http://127.0.0.1:8000; a path in front of /api is kept.
            key: one that may write, if the server asks for keys. It is never told of.

        Raises:
            CommandFailed: that is no address, or the key cannot be one.
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1:
            shown = url.partition("?")[0].rpartition("@")[2][:120]
            raise CommandFailed(f"--url {shown!r} is not an address; write it like http://127.0.0.1:8000")
        made = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = made(parts.hostname, port, timeout=TIMEOUT)
        self._path = parts.path.rstrip("/") + SUBMIT_PATH
        self._url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"  # without what may be secret
        self._headers = {} if key is None else {"Authorization": f"Bearer {_checked(key)}"}
        self._reached = False

    def submit(self, body: bytes, key: str) -> Answer:
        """Send a body until the server has taken it.

        Raises:
            CommandFailed: it refuses the whole request, cannot be reached, or does not take it for `PATIENCE` seconds.
        """
        deadline = time.monotonic() + PATIENCE
        wait = 0.2
        while True:
            try:
                response = self._send(body, key)
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                trouble = f"{type(error).__name__}: {error}"
                if not self._reached:
                    raise CommandFailed(
                        f"cannot reach {self._url} ({trouble}): is `footpath serve` running there?"
                    ) from error
                pause = wait
            else:
                self._reached = True
                if response.status not in _LATER:
                    return self._read(response)
                trouble = _sentence(response)
                pause = max(wait, response.retry_after)
            if time.monotonic() + pause > deadline:
                raise CommandFailed(f"{self._url} has not taken a request for {PATIENCE:.0f} s ({trouble})")
            time.sleep(pause)
            wait = min(wait * 2, 5.0)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _send(self, body: bytes, key: str) -> _Response:
        headers = {"Content-Type": "application/json", "Idempotency-Key": key, **self._headers}
        self._connection.request("POST", self._path, body, headers)
        response = self._connection.getresponse()
        retry_after = 0.0
        with contextlib.suppress(ValueError):  # a date, or nothing: wait as long as without
            retry_after = float(response.headers.get("Retry-After", "0"))
        again = response.headers.get("Idempotent-Replayed") == "true"
        return _Response(response.status, retry_after, again, response.read())

    def _read(self, response: _Response) -> Answer:
        if response.status in {401, 403}:
            raise CommandFailed(
                f"{self._url} refused: {_sentence(response)} (commands take a key from FOOTPATH_KEY or --key)"
            )
        if response.status != 200:
            raise CommandFailed(f"{self._url} refused a request: {_sentence(response)}")
        try:
            answer = decode(response.body, type=Answer)
        except DecodeError as error:
            raise CommandFailed(f"{self._url} does not answer as footpath does: is it the right address?") from error
        answer.again = response.again
        return answer


def _checked(key: str) -> str:
    """The key, if it can be a header: http.client would tell it in its complaint."""
    if not key.isascii() or not key.isprintable() or not key.strip() or " " in key:
        raise CommandFailed("the key of --key or FOOTPATH_KEY has spaces or other signs that no key has; copy it anew")
    return key


def _sentence(response: _Response) -> str:
    try:
        message = decode(response.body, type=_Said).message
    except (DecodeError, UnicodeDecodeError):
        message = ""
    return message or f"status {response.status}"
