"""Whole HTTP requests for the open-loop load, cheap enough for 2,000 a second of 12 KB each.

Bodies are made ready before the start; a request only gets its own user, session and minute, so that a run of ten
minutes has hundreds of thousands of sessions in rising time.
"""

import itertools
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from bench import bodies

USERS = 200_000
TEMPLATES = 500  # ready bodies
MINUTE = b"2001-01-01T00:00"  # in the templates, where the minute goes


def requests(actions: int, rate: float) -> Iterator[bytes]:
    """Whole HTTP requests without end, each of its own session; minutes rise. All that is slow is done on the call."""
    return filled(list(itertools.islice(templates(actions), TEMPLATES)), rate)


def filled(ready: list[bytes], rate: float) -> Iterator[bytes]:
    """The templates again and again, filled in."""
    rng = random.Random(1)
    zipf = list(itertools.accumulate(1 / rank for rank in range(1, USERS + 1)))
    start = datetime.now(UTC)
    for block in itertools.count():
        minute = (start + timedelta(seconds=block * TEMPLATES / rate)).isoformat()[: len(MINUTE)].encode()
        users = rng.choices(range(USERS), cum_weights=zipf, k=TEMPLATES)
        for template, user in zip(ready, users, strict=True):
            yield template.replace(MINUTE, minute) % (b"u%06d" % user, b"%016x" % rng.getrandbits(64))


def templates(actions: int) -> Iterator[bytes]:
    """Requests with two places to fill, user and session (23 bytes), and MINUTE in every time."""
    for batch in bodies.batches(actions, seed=2):
        made = batch["actions"]
        assert isinstance(made, list)
        for place, one in enumerate(made):
            seconds = 60 * place / actions
            one["time"] = f"{MINUTE.decode()}:{seconds:06.3f}+00:00"
        body = json.dumps([{"userId": "%b", "sessionId": "%b", "actions": made}], separators=(",", ":"))
        assert body.count("%") == 2, "nothing else in a body may look like a place to fill"
        head = "POST /api/submitlogs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        yield f"{head}Content-Length: {len(body) - 4 + 7 + 16}\r\n\r\n{body}".encode()
