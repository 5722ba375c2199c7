"""One question to an address below /api/ on a kept-alive connection: time to the first and last byte, and the memory.

The answer is counted as it streams and never held: actions by the `"type":` that each has, a piece at a time.
"""

import http.client
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

PIECE = 1 << 18  # bytes read at once
EACH_HAS = b'"type":'
MEMORY_EVERY = 0.25  # s: a look takes milliseconds; answers that take less time than this are never held up by one


@dataclass(frozen=True)
class Answer:
    """What came, and when."""

    first_byte_ms: float
    ms: float
    bytes: int
    actions: int
    rss_before: int
    rss_most: int


class Asker:
    """One client connection."""

    def __init__(self, port: int, rss: Callable[[], int]) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=900)
        self.rss = rss

    def ask(self, path: str = "/api/retrievelogs", /, **filters: str | datetime) -> Answer:
        """Ask and read it all; raises when the answer is not 200."""
        named = {key: value if isinstance(value, str) else value.isoformat() for key, value in filters.items()}
        before = most = self.rss()
        start = time.perf_counter()
        self.connection.request("GET", f"{path}?{urlencode(named)}")
        response = self.connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"{response.status} for {named}: {response.read()!r}")
        size = actions = 0
        first, looked = None, start
        kept = b""  # an end that may be the start of the next match
        while piece := response.read1(PIECE):
            now = time.perf_counter()
            first = first or now
            size += len(piece)
            actions += (kept + piece).count(EACH_HAS)
            kept = piece[-(len(EACH_HAS) - 1) :]
            if now - looked > MEMORY_EVERY:
                most, looked = max(most, self.rss()), now
        end = time.perf_counter()
        response.read()  # nothing more: an answer that tells its length would else not count as over
        return Answer(
            first_byte_ms=round(((first or end) - start) * 1000, 3),
            ms=round((end - start) * 1000, 3),
            bytes=size,
            actions=actions,
            rss_before=before,
            rss_most=most,
        )
