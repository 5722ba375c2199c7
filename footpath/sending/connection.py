"""One connection to a running server: a body and a key out, what the server said back.

Leaves out when to send again: that is for who sends. Leaves out proxies and redirects: the address is the server's own.
"""

import contextlib
import http.client
from typing import NamedTuple
from urllib.parse import urlsplit

from msgspec import DecodeError, Struct
from msgspec.json import decode

from footpath.action import Reject
from footpath.errors import BadSetting, CommandFailed

SUBMIT_PATH = "/api/submitlogs"
TIMEOUT = 60.0  # seconds without an answer: ten times the longest commit group
LATER = {429, 502, 503, 504}
"""Statuses after which the same request can be taken."""


class Answer(Struct):
    """What the server said of a request; `again` if it had kept it before and stored nothing now."""

    accepted: int
    duplicates: int
    rejected: list[Reject]
    again: bool = False


class _Said(Struct):
    code: str = ""
    message: str = ""


class Response(NamedTuple):
    """An answer of any status. `retry_after` is in seconds, 0 if the server named none."""

    status: int
    retry_after: float
    again: bool
    body: bytes

    @property
    def sentence(self) -> str:
        """What it says to people."""
        try:
            message = decode(self.body, type=_Said).message
        except (DecodeError, UnicodeDecodeError):
            message = ""
        return message or f"status {self.status}"


class Connection:
    """Submits to one server, one request at a time. Use one a thread, and close it."""

    def __init__(self, url: str, key: str | None = None, timeout: float = TIMEOUT) -> None:
        """Prepare to send to a server; nothing is sent yet.

        Args:
            url: its address, like http://127.0.0.1:8000; a path in front of /api is kept.
            key: one that may write, if the server asks for keys. It is never told of.
            timeout: seconds without an answer after which a request has failed.

        Raises:
            BadSetting: that is no address, or the key cannot be one.
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1:
            shown = url.partition("?")[0].rpartition("@")[2][:120]
            raise BadSetting(f"{shown!r} is not the address of a server; write it like http://127.0.0.1:8000")
        made = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = made(parts.hostname, port, timeout=timeout)
        self._path = parts.path.rstrip("/") + SUBMIT_PATH
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        """The address without what may be secret."""
        self._headers = {} if key is None else {"Authorization": f"Bearer {_checked(key)}"}

    def post(self, body: bytes, key: str) -> Response:
        """Send a body under an Idempotency-Key, once.

        Raises:
            OSError, http.client.HTTPException: there was no answer; the connection is made anew for the next request.
        """
        headers = {"Content-Type": "application/json", "Idempotency-Key": key, **self._headers}
        try:
            self._connection.request("POST", self._path, body, headers)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        retry_after = 0.0
        with contextlib.suppress(ValueError):  # a date, or nothing: wait as long as without
            retry_after = float(response.headers.get("Retry-After", "0"))
        again = response.headers.get("Idempotent-Replayed") == "true"
        return Response(response.status, retry_after, again, content)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def answer_of(response: Response, url: str) -> Answer:
    """What a server said of a request that it took.

    Raises:
        CommandFailed: it refused the whole request, or is no footpath.
    """
    if response.status in {401, 403}:
        raise CommandFailed(f"{url} refused: {response.sentence} (commands take a key from FOOTPATH_KEY or --key)")
    if response.status != 200:
        raise CommandFailed(f"{url} refused a request: {response.sentence}")
    try:
        answer = decode(response.body, type=Answer)
    except (DecodeError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{url} does not answer as footpath does: is it the right address?") from error
    answer.again = response.again
    return answer


def _checked(key: str) -> str:
    """The key, if it can be a header: http.client would tell it in its complaint."""
    if not key.isascii() or not key.isprintable() or not key.strip() or " " in key:
        raise BadSetting("the key has spaces or other signs that no key has; copy it anew")
    return key
