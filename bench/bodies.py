"""Request bodies: distinct, seeded, close to what apps send.

Users follow Zipf's law (a few are everywhere, most come once), a session belongs to one user, times rise inside it,
and properties have the sizes of the real thing (about 120 bytes an action in all). One batch a request, as a client
that collects one user's actions sends it. The same seed gives the same bytes, so every contender and every round reads
the same.
"""

import itertools
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

PAGES = ("communities", "inventory", "search", "listing/residential", "account/settings", "checkout", "help")
OFFSETS = tuple(timezone(timedelta(minutes=minutes)) for minutes in (-480, -360, -300, 0, 60, 330, 540))
USERS = 50_000
START = datetime(2026, 3, 2, 8, tzinfo=UTC)
BYTES_AIMED_AT = 16_000_000  # enough to be distinct, small enough for wrk to hold as ready requests
DISTINCT_AT_MOST = 20_000
BYTES_AN_ACTION = 125


def how_many_distinct(actions: int) -> int:
    """Bodies worth making at this many actions each."""
    return max(1_000, min(DISTINCT_AT_MOST, BYTES_AIMED_AT // (actions * BYTES_AN_ACTION)))


def action(rng: random.Random, time: datetime) -> dict[str, object]:
    """One valid action: half clicks, a third views, the rest navigations."""
    draw = rng.random()
    properties: dict[str, object]
    if draw < 0.5:
        kind, properties = "CLICK", {"locationX": rng.randrange(1920), "locationY": rng.randrange(1080)}
        if draw < 0.15:
            properties["element"] = f"button#{rng.choice(PAGES)}-{rng.randrange(40)}"
    elif draw < 0.83:
        kind, properties = "VIEW", {"viewedId": f"{rng.getrandbits(48):012X}"}
    else:
        kind, properties = "NAVIGATE", {"pageFrom": rng.choice(PAGES), "pageTo": rng.choice(PAGES)}
    return {"time": time.isoformat(timespec="milliseconds"), "type": kind, "properties": properties}


def batches(actions: int, seed: int) -> Iterator[dict[str, object]]:
    """Batches of so many actions each, without end."""
    rng = random.Random(seed)
    zipf = list(itertools.accumulate(1 / rank for rank in range(1, USERS + 1)))
    start = START
    while True:
        user = rng.choices(range(USERS), cum_weights=zipf)[0]
        start += timedelta(milliseconds=rng.randrange(1, 60))
        time, made = start.astimezone(rng.choice(OFFSETS)), []
        for _ in range(actions):
            made.append(action(rng, time))
            time += timedelta(milliseconds=rng.randrange(80, 9_000))
        yield {"userId": f"u{user:06d}", "sessionId": f"{rng.getrandbits(64):016x}", "actions": made}


def bodies(actions: int, count: int, seed: int = 1) -> Iterator[bytes]:
    """So many request bodies: a JSON array of one batch each, no line ends inside."""
    for batch in itertools.islice(batches(actions, seed), count):
        yield json.dumps([batch], separators=(",", ":")).encode()


def write(folder: Path, actions: int) -> Path:
    """A file of bodies, one a line, for wrk.lua."""
    path = folder / f"bodies-{actions}.ndjson"
    with path.open("wb") as out:
        out.writelines(body + b"\n" for body in bodies(actions, how_many_distinct(actions)))
    return path
