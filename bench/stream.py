"""A long stream of actions, made fast enough to fill a folder with 100 million: a few microseconds a session.

What a real one would look like to the store: a million users (a few come often, most seldom), sessions of about twenty
actions, time rising over ninety days as batches would arrive, three types, some sixty bytes of properties. Sessions
are built from ready templates into which only the minutes are written, so their properties repeat every few thousand
sessions; bytes an action on disk are therefore a little low.
"""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from bench import bodies, visits
from footpath.action import TYPE_BITS, Entry

DAYS = 90
MINUTES = DAYS * 24 * 60
TEMPLATES = 5_000
MICROSECOND = timedelta(microseconds=1)
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
SKEW = 2.0  # of user = users * draw ** SKEW: a tenth of the users have a third of the sessions


class Template(NamedTuple):
    """A session without its minutes."""

    text: bytes  # with %b where a minute goes
    minutes: tuple[int, ...]  # of each action, from the first
    first: int  # microseconds from the first minute
    last: int
    types: int


def sessions(actions: int, users: int, seed: int = 1, *, pages: bool = False) -> Iterator[Entry]:
    """Sessions in order of time with so many actions in all (up to one session more); with `pages`, those of `visits`.

    There are ten times as many templates then, so that the clicks of a day are as good as all in different places.
    """
    rng = random.Random(seed)
    ready = [template(rng, pages=pages) for _ in range(TEMPLATES * 10 if pages else TEMPLATES)]
    minutes = [(FIRST_DAY + timedelta(minutes=minute)).isoformat()[:16].encode() for minute in range(MINUTES + 60)]
    epoch = int(FIRST_DAY.timestamp()) * 1_000_000
    made = number = 0
    while made < actions:
        text, at, first, last, types = ready[int(rng.random() * len(ready))]
        minute = made * MINUTES // actions
        start = epoch + minute * 60_000_000
        yield Entry(
            user(int(users * rng.random() ** SKEW)),
            f"s{number:011x}",
            len(at),
            start + first,
            start + last,
            types,
            text % tuple([minutes[minute + after] for after in at]),
        )
        made += len(at)
        number += 1


def user(number: int) -> str:
    """The id of a user: as if hashed, so that neighbours in the store are no neighbours in activity."""
    return f"u{number * 2_654_435_761 % 2**32:08x}"


def template(rng: random.Random, *, pages: bool) -> Template:
    """One session of eight to thirty-two actions within half an hour."""
    visit = visits.actions(rng)
    time, made, minutes, types = timedelta(seconds=rng.randrange(60)), [], [], 0
    first = last = time
    for _ in range(rng.randrange(8, 33)):
        one = (
            dict(zip(("type", "properties"), next(visit), strict=True))
            if pages
            else bodies.action(rng, FIRST_DAY + time)
        )
        seconds = (FIRST_DAY + time).isoformat(timespec="milliseconds")[16:]
        made.append({"time": f"%b{seconds}", "type": one["type"], "properties": one["properties"]})
        types |= TYPE_BITS[str(one["type"])]
        minutes.append(time // timedelta(minutes=1))
        last = time
        time += timedelta(milliseconds=rng.randrange(200, 50_000))
    text = json.dumps(made, separators=(",", ":"))
    return Template(text.encode(), tuple(minutes), first // MICROSECOND, last // MICROSECOND, types)
